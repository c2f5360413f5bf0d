"""Where objects are, on the network's coarsest grid: what the score map is held against."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")

from vi_fusion_ros.training.augment import AugmentConfig  # noqa: E402
from vi_fusion_ros.training.batches import GRID, BatchConfig, TrainingBatches, mark  # noqa: E402
from vi_fusion_ros.training.datasets.crops import CropsDataset  # noqa: E402
from vi_fusion_ros.training.datasets.labels import ILLUMINATION, LABELS  # noqa: E402
from vi_fusion_ros.training.datasets.roadscene import RoadSceneDataset  # noqa: E402
from vi_fusion_ros.training.losses import places_loss  # noqa: E402
from vi_fusion_ros.training.packed import PackedPairs  # noqa: E402

NOTHING = AugmentConfig(**dict.fromkeys(AugmentConfig.__dataclass_fields__, 0.0))


def marked(*box):
    grid = np.zeros((4, 5), np.float32)
    mark(grid, *box)
    return grid


def test_a_box_marks_the_places_in_it_and_leaves_its_rim_unknown():
    expected = np.zeros((4, 5))
    expected[0:3, 1:4] = -1
    expected[1, 2:4] = 1
    np.testing.assert_array_equal(marked(GRID + 10, GRID - 2, 4 * GRID - 1, 2 * GRID + 8), expected)


def test_a_box_between_places_marks_the_one_of_its_centre():
    grid = marked(GRID + 1, GRID + 1, GRID + 7, GRID + 13)
    assert grid[1, 1] == 1
    assert (grid != 0).sum() == 1


@pytest.mark.parametrize("box", [(20, 20, 26, 28), (-60, 5, 10, 25)])
def test_a_tiny_box_and_one_mostly_outside_are_unknown(box):
    grid = marked(*box)
    assert (grid == 1).sum() == 0
    assert (grid == -1).sum() > 0


def test_a_box_does_not_take_away_another():
    grid = marked(0, 0, 2 * GRID, 2 * GRID)
    mark(grid, GRID + 2, GRID + 2, GRID + 4, GRID + 4)
    assert grid[1, 1] == 1


def test_unknown_places_and_right_ones_cost_nothing():
    scores = torch.tensor([[[[9.0, -9.0, 9.0]]]])
    right, unknown = (torch.tensor([[[row]]]) for row in ([1.0, 0.0, 1.0], [1.0, 0.0, -1.0]))
    assert places_loss(scores, right) < 1e-6
    assert places_loss(scores, unknown) < 1e-6
    wrong = torch.tensor([[[[1.0, 0.0, 0.0]]]])
    assert places_loss(scores, wrong) == pytest.approx(9.0, rel=1e-2)


@pytest.fixture
def sources(crops_root, frames_root, tmp_path):
    return tuple(
        PackedPairs(dataset, tmp_path / "cache")
        for dataset in (CropsDataset(crops_root), RoadSceneDataset(frames_root))
    )


def frames_of(sources, augmentation=NOTHING, **config):
    batch = BatchConfig(crops=0, patches=8, patch_size=64, **config)
    return TrainingBatches(*sources, batch, augmentation, "both", 4, 0, 0)


def test_patches_of_frames_know_where_their_boxes_are(sources):
    car = LABELS.index("car")
    for batch in frames_of(sources, paste=0):
        part = batch["frames"]
        assert part.places.shape == (8, len(LABELS), 64 // GRID, 64 // GRID)
        for target, known, places in zip(part.target, part.known, part.places, strict=True):
            if not known.any():
                assert (places == -1).all()
                continue
            if (places[car] == 1).any():
                assert target[car] == 1 or known[car] == 0
            assert not (places[[k for k in range(len(LABELS)) if k != car]] == 1).any()


def test_a_pasted_crop_is_at_its_place(sources):
    seen = 0
    for batch in frames_of(sources, paste=1):
        part = batch["frames"]
        for k, label in enumerate(LABELS):
            if label != "car":
                present = part.target[:, k] == 1
                there = (part.places[:, k] == 1).flatten(1).any(1)
                assert torch.equal(present, there)
                seen += int(there.sum())
    assert seen > 0


def test_a_frame_with_hardly_any_light_counts_as_night(sources):
    dark = AugmentConfig(**{**dict.fromkeys(AugmentConfig.__dataclass_fields__, 0.0), "low_light": 1.0})
    light = torch.cat([batch["frames"].illumination for batch in frames_of(sources, dark, paste=0)])
    assert set(light.tolist()) == {-1, ILLUMINATION.index("night")}
