"""Batches of whole frames: what they hold, and what they say that is known."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")

from vi_fusion_ros.training.batches.augment import AugmentConfig  # noqa: E402
from vi_fusion_ros.training.batches.packed import PackedPairs  # noqa: E402
from vi_fusion_ros.training.batches.patches import PatchBatches, PatchConfig  # noqa: E402
from vi_fusion_ros.training.batches.scenes import SceneBatches, SceneConfig  # noqa: E402
from vi_fusion_ros.training.datasets.base import DatasetError  # noqa: E402
from vi_fusion_ros.training.datasets.crops import CropsDataset  # noqa: E402
from vi_fusion_ros.training.datasets.labels import ILLUMINATION, LABELS  # noqa: E402
from vi_fusion_ros.training.datasets.presence_table import PresenceTable  # noqa: E402
from vi_fusion_ros.training.datasets.roadscene import RoadSceneDataset  # noqa: E402
from vi_fusion_ros.training.datasets.single_camera import SingleCamera  # noqa: E402

NOTHING = AugmentConfig(**dict.fromkeys(AugmentConfig.__dataclass_fields__, 0.0))
PLAIN = SceneConfig(
    frames=6, negatives=0.0, sizes=((48, 64),), paste_share=0.0, misalignment=0.0, crops=0, crop_side=32
)
CAR, BICYCLE = LABELS.index("car"), LABELS.index("bicycle")


def packed(dataset, tmp_path):
    return PackedPairs(dataset, tmp_path / "cache")


@pytest.fixture
def street(street_root, tmp_path):
    return packed(RoadSceneDataset(street_root), tmp_path)


@pytest.fixture
def crops(crops_root, tmp_path):
    return packed(CropsDataset(crops_root), tmp_path)


def batches(frames, config=PLAIN, augmentation=NOTHING, modality="both", crops=None, seed=0):
    made = SceneBatches({"s": frames}, {"s": 1.0}, crops, config, augmentation, modality, 4, seed, 0)
    return [made[number] for number in range(len(made))]


def test_a_batch_is_a_function_of_seed_epoch_and_number(street, crops):
    config = dataclasses.replace(PLAIN, negatives=0.3, paste_share=1.0, crops=4, misalignment=2.0)
    first, second = (batches(street, config, AugmentConfig(), crops=crops) for _ in range(2))
    for (a, p), (b, q) in zip(first, second, strict=True):
        tensors = [(x, y) for x, y in zip((*a.images, *a[1:]), (*b.images, *b[1:]), strict=True)]
        assert all(torch.equal(x, y) for x, y in (*tensors, (p.images.visible, q.images.visible)))
    other = batches(street, config, AugmentConfig(), crops=crops, seed=1)
    assert not torch.equal(first[0][0].images.visible, other[0][0].images.visible)
    with pytest.raises(IndexError):
        SceneBatches({"s": street}, {"s": 1.0}, None, PLAIN, NOTHING, "both", 4, 0, 0)[4]


def test_shapes_fit_the_network(street, crops):
    config = dataclasses.replace(PLAIN, crops=5)
    for frames, alone in batches(street, config, crops=crops):
        assert frames.images.visible.shape == (6, 3, 48, 64)
        assert frames.images.thermal.shape == (6, 1, 48, 64)
        assert frames.centres.shape == frames.sides_weight.shape == (6, 3, 12, 16)
        assert frames.sides.shape == (6, 12, 12, 16)
        assert alone.images.visible.shape == (5, 3, 32, 32)
        assert (alone.target.sum(1) == 1).all()


@pytest.mark.parametrize("share", [0.0, 0.34, 1.0])
def test_at_least_a_share_of_the_frames_shows_none_of_the_labels(street, share):
    for frames, _ in batches(street, dataclasses.replace(PLAIN, negatives=share)):
        empty = (frames.known == 1).all(1) & (frames.target == 0).all(1)
        assert empty.sum() >= np.ceil(6 * share)
        assert (frames.centres[empty] <= 0).all()  # -1 where a sliver of a cut object is left


def test_objects_are_where_their_boxes_are(street):
    """The made frames are dark in the thermal image but for objects; cars and persons differ in the visible one."""
    seen = 0
    for frames, _ in batches(street):
        for image, centres in zip(frames.images.thermal, frames.centres, strict=True):
            for _, row, column in np.argwhere(centres.numpy() == 1):
                assert image[0, 4 * row + 1 : 4 * row + 3, 4 * column + 1 : 4 * column + 3].min() > 0.1
                seen += 1
    assert seen > 10


def test_presence_and_the_map_agree_where_every_object_has_a_box(street):
    for frames, _ in batches(street):
        there = (frames.centres == 1).flatten(2).any(2)
        assert torch.equal(there[frames.known == 1], (frames.target == 1)[frames.known == 1])


def test_presence_without_places_leaves_the_map_unknown_where_something_is(table_root, tmp_path):
    frames = packed(PresenceTable(table_root), tmp_path)
    cars = 0
    for batch, _ in batches(frames):
        assert (batch.known[:, LABELS.index("person")] == 0).all()  # the table has no word on persons
        assert (batch.centres[:, LABELS.index("person")] == -1).all()
        assert (batch.centres[:, BICYCLE] == 0).all()
        for target, centres in zip(batch.target[:, CAR], batch.centres[:, CAR], strict=True):
            assert (centres == (-1 if target else 0)).all()
            cars += int(target)
        assert not batch.sides_weight.any()
    assert cars > 0


def test_a_small_window_does_not_promise_what_the_whole_frame_shows(table_root, tmp_path):
    frames = packed(PresenceTable(table_root), tmp_path)
    close = dataclasses.replace(PLAIN, sizes=((16, 16),), scale=(1.4, 1.5))
    known = torch.cat([batch.known[:, CAR] for batch, _ in batches(frames, close)])
    target = torch.cat([batch.target[:, CAR] for batch, _ in batches(frames, close)])
    assert (known[target == 1] == 0).all()
    assert (known[target == 0] == 1).all()


@pytest.mark.parametrize("augmentation", [NOTHING, AugmentConfig()], ids=["clean", "augmented"])
def test_frames_of_one_camera_never_gain_the_other_and_keep_their_own(single_root, tmp_path, augmentation):
    frames = packed(SingleCamera(single_root), tmp_path)
    config = dataclasses.replace(PLAIN, frames=12, misalignment=3.0)
    visible = thermal = 0
    for batch, _ in batches(frames, config, augmentation):
        seen = (batch.images.visible.amax((1, 2, 3)) > 0).numpy()
        warm = (batch.images.thermal.amax((1, 2, 3)) > 0).numpy()
        assert (seen ^ warm).all()
        visible, thermal = visible + seen.sum(), thermal + warm.sum()
    assert min(visible, thermal) > 0


def test_a_crop_pasted_into_a_frame_of_one_camera_leaves_the_other_out(single_root, crops, tmp_path):
    frames = packed(SingleCamera(single_root), tmp_path)
    for batch, _ in batches(frames, dataclasses.replace(PLAIN, paste_share=1.0), crops=crops):
        seen, warm = (image.amax((1, 2, 3)) > 0 for image in (batch.images.visible, batch.images.thermal))
        assert (seen ^ warm).all()


@pytest.mark.parametrize(("modality", "absent"), [("visible", "thermal"), ("thermal", "visible")])
def test_a_baseline_sees_one_camera_only(street, single_root, crops, tmp_path, modality, absent):
    sets = {"pairs": street, "single": packed(SingleCamera(single_root), tmp_path)}
    config = dataclasses.replace(PLAIN, paste_share=0.5, crops=4)
    made = SceneBatches(sets, {"pairs": 1.0, "single": 1.0}, crops, config, AugmentConfig(), modality, 4, 0, 0)
    for number in range(4):
        for part in made[number]:
            assert not getattr(part.images, absent).any()
            assert (getattr(part.images, modality).amax((1, 2, 3)) > 0).all()


def test_pasted_crops_are_at_their_places_and_what_they_cover_is_unknown(table_root, crops, tmp_path):
    frames = packed(PresenceTable(table_root), tmp_path)
    pasted = 0
    for batch, _ in batches(frames, dataclasses.replace(PLAIN, paste_share=1.0), crops=crops):
        there = (batch.centres == 1).flatten(2).any(2)
        assert (batch.target[there] == 1).all()
        assert (batch.known[there] == 1).all()
        assert torch.equal(there[:, BICYCLE], batch.target[:, BICYCLE] == 1)  # the frames themselves have none
        pasted += int(there.sum())
        covered = (batch.centres[:, BICYCLE] == -1).flatten(1).any(1)
        assert (covered | ~there.any(1)).all()
    assert pasted > 0


def test_what_is_ignored_is_unknown_in_the_map(single_root, tmp_path):
    entries = json.loads((single_root / "frames.json").read_text())
    for entry in entries:
        entry["objects"] = [{"class": "ignore", "box_xyxy": [0, 0, 96, 64]}]
    (single_root / "frames.json").write_text(json.dumps(entries))
    frames = packed(SingleCamera(single_root), tmp_path)
    for batch, _ in batches(frames):
        assert (batch.centres == -1).any()
        assert not (batch.centres == 1).any()
        assert (batch.known[:, CAR] == 0).all()
        assert (batch.known[:, LABELS.index("person")] == 1).all()


def test_a_frame_with_hardly_any_light_counts_as_night(street):
    dark = dataclasses.replace(NOTHING, low_light=1.0)
    light = torch.cat([batch.illumination for batch, _ in batches(street, augmentation=dark)])
    assert set(light.tolist()) == {-1, ILLUMINATION.index("night")}


def test_frames_without_any_knowledge_are_one_sentence(frames_root, single_root, tmp_path):
    (frames_root / "frames.json").unlink()
    frames = packed(RoadSceneDataset(frames_root), tmp_path)
    with pytest.raises(DatasetError, match="no frame to train on of s has a label that is known for modality both"):
        batches(frames)
    air = packed(SingleCamera(single_root, "air"), tmp_path)
    with pytest.raises(DatasetError, match="known for modality visible"):
        batches(air, modality="visible")


def test_patches_are_of_frames_of_both_cameras(street, single_root, tmp_path):
    sets = {"street": street, "alone": packed(SingleCamera(single_root), tmp_path)}
    config = PatchConfig(patches=5, size=64)
    made = PatchBatches(sets, {"street": 1.0, "alone": 9.0}, config, NOTHING, 3, 0, 0)
    for number in range(3):
        images = made[number]
        assert images.visible.shape == (5, 3, 64, 64)
        assert images.both.all()
        assert (images.visible.amax((1, 2, 3)) > 0).all()
        assert (images.thermal.amax((1, 2, 3)) > 0).all()
        assert torch.equal(images.visible, made[number].visible)
    with pytest.raises(DatasetError, match="no frame to train on of alone has both cameras"):
        PatchBatches({"alone": sets["alone"]}, {"alone": 1.0}, config, NOTHING, 3, 0, 0)
