"""The detector: its boxes, its losses, its frames, a run of seconds, and the file that it gives."""

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")
pytest.importorskip("lightning", reason="the training requirements are not installed")

from vi_fusion_ros.cli import main  # noqa: E402
from vi_fusion_ros.methods.registry import DETECTORS, chosen  # noqa: E402
from vi_fusion_ros.training.batches.augment import AugmentConfig  # noqa: E402
from vi_fusion_ros.training.batches.boxed import BoxedFrames  # noqa: E402
from vi_fusion_ros.training.batches.packed import PackedPairs  # noqa: E402
from vi_fusion_ros.training.batches.scenes import SceneConfig  # noqa: E402
from vi_fusion_ros.training.config import load_config  # noqa: E402
from vi_fusion_ros.training.datasets import layouts  # noqa: E402
from vi_fusion_ros.training.datasets.base import DatasetError  # noqa: E402
from vi_fusion_ros.training.datasets.roadscene import RoadSceneDataset  # noqa: E402
from vi_fusion_ros.training.methods import mlf_cnn  # noqa: E402
from vi_fusion_ros.training.trainer import train  # noqa: E402

CLEAN = AugmentConfig(**dict.fromkeys(AugmentConfig.__dataclass_fields__, 0.0))
NONE = torch.zeros((0, 4))


def test_anchors_lie_around_the_middle_of_each_place():
    anchors = mlf_cnn.anchors_of(torch.zeros(1, 1, 2, 3))
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    count = len(anchors) // 6
    wanted = [(8 * column + 4, 8 * row + 4) for row in range(2) for column in range(3) for _ in range(count)]
    torch.testing.assert_close(centres, torch.tensor(wanted, dtype=torch.float32))
    sides = (anchors[:count, 2:] - anchors[:count, :2]).numpy()
    assert sorted({round(float(side)) for side in np.sqrt(sides.prod(1))}) == [12, 20, 34, 60, 105, 180]
    assert {round(float(tall), 2) for tall in sides[:, 1] / sides[:, 0]} == {0.8, 2.2}


def test_a_box_comes_back_from_its_shift():
    rng = np.random.default_rng(0)
    places, boxes = (
        torch.from_numpy(np.hstack([low := rng.uniform(0, 50, (9, 2)), low + rng.uniform(4, 60, (9, 2))])).float()
        for _ in range(2)
    )
    torch.testing.assert_close(mlf_cnn.moved(places, mlf_cnn.shift_between(places, boxes)), boxes)


def test_proposals_are_the_surest_and_far_from_each_other():
    anchors = mlf_cnn.anchors_of(torch.zeros(1, 1, 10, 12))
    scores = torch.full((len(anchors),), -9.0)
    scores[300], scores[301], scores[900] = 3.0, 4.0, 2.0
    shifts = torch.zeros(len(anchors), 4)
    shifts[300] = mlf_cnn.shift_between(anchors[300:301], anchors[301:302] + 0.1)[0]  # nearly the same box
    found = mlf_cnn.proposals(scores, shifts, anchors)
    torch.testing.assert_close(found[:2], anchors[[301, 900]])
    apart = mlf_cnn.overlaps(found, found) - torch.eye(len(found))
    assert float(apart.max()) <= 0.7
    assert len(found) <= 100


def test_pooling_takes_what_lies_in_the_place():
    """Over a ramp, the mean of a part is the position of its middle."""
    ramp = (torch.arange(40.0) + 0.5) * 4
    plane = torch.stack((ramp.expand(30, -1), ramp[:30, None].expand(-1, 40)))[None]
    pooled = mlf_cnn.pool(plane, torch.tensor([[20.0, 30.0, 90.0, 100.0], [8.0, 8.0, 15.0, 50.0]]), 4)
    parts = (torch.arange(7) + 0.5) / 7
    torch.testing.assert_close(pooled[0, 0, 3], 20 + 70 * parts)
    torch.testing.assert_close(pooled[0, 1, :, 2], 30 + 70 * parts)
    torch.testing.assert_close(pooled[1, 1, :, 0], 8 + 42 * parts)


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    return mlf_cnn.MlfCnn()


def features(seed=0):
    """Of both cameras, of a frame of 96×160."""
    draw = torch.Generator().manual_seed(seed)
    sizes = [(24, 24, 40), (40, 12, 20), (112, 6, 10)]
    return [torch.randn((1, *size), generator=draw) for _ in range(2) for size in sizes]


def terms(network, boxes, labels, ignored=NONE):
    return mlf_cnn.detection_terms(network, features(), boxes, labels, ignored, torch.Generator().manual_seed(1))


def test_both_streams_count_at_every_map(untrained):
    given = features()
    before = untrained.summed(given)
    for k in range(6):
        after = untrained.summed([tap + (number == k) for number, tap in enumerate(given)])
        changed = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        assert changed == [k % 3 == number for number in range(3)]


def test_every_part_learns(untrained):
    loss = sum(
        terms(
            untrained, torch.tensor([[40.0, 20.0, 60.0, 64.0], [90.0, 40.0, 130.0, 80.0]]), torch.tensor([0, 1])
        ).values()
    )
    untrained.zero_grad()
    loss.backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in untrained.parameters())


def test_a_frame_without_objects_has_no_loss_of_places(untrained):
    found = terms(untrained, NONE, torch.zeros(0, dtype=torch.long))
    assert found["proposals"] == found["corrections"] == 0
    assert found["objectness"] > 0
    assert all(torch.isfinite(value) for value in found.values())


def test_ignored_places_teach_nothing():
    """A frame that is all ignored has no anchor and no proposal to learn from."""
    everywhere = torch.tensor([[-500.0, -500.0, 900.0, 900.0]])
    assert mlf_cnn._inside(mlf_cnn.anchors_of(torch.zeros(1, 1, 12, 20)), everywhere).all()
    assert not mlf_cnn._inside(torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([[6.0, 0.0, 20.0, 10.0]])).any()


def test_frames_keep_their_boxes_on_what_they_show(street_root, tmp_path):
    """The rectangles are drawn in the colours of ``COLORS``: what is in a box is its object."""
    frames = PackedPairs(RoadSceneDataset(street_root), tmp_path / "cache")
    config = SceneConfig(frames=4, scale=(0.8, 1.3))
    batches = BoxedFrames({"street": frames}, {"street": 1.0}, config, CLEAN, 3, 0, 0)
    warmth = {0: 200, 1: 60, 2: 120}
    seen = 0
    for frame in (frame for number in range(3) for frame in batches[number]):
        assert frame.visible.shape[1] == 3
        assert all(side % 32 == 0 for side in frame.thermal.shape[2:])
        for box, label in zip(frame.boxes, frame.labels, strict=True):
            x0, y0, x1, y1 = (int(edge) for edge in box)
            inside = frame.thermal[0, 0, y0 + 3 : y1 - 3, x0 + 3 : x1 - 3] * 255
            assert float((inside - warmth[int(label)]).abs().max()) < 20
            seen += 1
    assert seen > 5
    again = BoxedFrames({"street": frames}, {"street": 1.0}, config, CLEAN, 3, 0, 0)
    assert torch.equal(again[1][0].visible, batches[1][0].visible)


def test_no_frame_with_boxes_is_one_sentence(table_root, tmp_path):
    opened = layouts.LAYOUTS[layouts.guess_layout(table_root, layouts.LAYOUTS)].open(table_root)
    frames = PackedPairs(opened, tmp_path / "cache")
    with pytest.raises(DatasetError, match="no frame of campus has both cameras and a box for every object"):
        BoxedFrames({"campus": frames}, {"campus": 1.0}, SceneConfig(frames=1), CLEAN, 1, 0, 0)


@pytest.fixture
def detector_config(config, monkeypatch):
    """A run of seconds."""
    monkeypatch.setattr("vi_fusion_ros.training.methods.detection._SELECTION_STEPS", 1)
    data = dataclasses.replace(config.data, crops=None)
    return dataclasses.replace(
        config, name="mlf-cnn", method="mlf-cnn", data=data, scenes=SceneConfig(frames=1, scale=(0.5, 0.6))
    )


def test_a_run_gives_a_file_that_the_detector_takes(detector_config, tmp_path, capsys):
    last = train(detector_config).last
    assert main(["export", str(last), "-o", f"{tmp_path}/mlf-cnn.onnx"]) == 0
    manifest = json.loads((tmp_path / "mlf-cnn.json").read_text())
    assert manifest["method"] == "mlf-cnn"
    assert manifest["model_id"] in capsys.readouterr().out
    assert manifest["training"]["config"]["scenes"]["frames"] == 1
    assert "backbone" not in json.dumps(manifest["metrics"])
    card = (tmp_path / "mlf-cnn.md").read_text()
    assert "its boxes are not the published ones" in card
    assert (tmp_path / "mlf-cnn.onnx").stat().st_size < 2.3 * manifest["metrics"]["parameters"], "two bytes a weight"
    entry = DETECTORS["mlf-cnn"].with_weights(tmp_path / "mlf-cnn.onnx")
    assert entry.labels == ("person", "car", "bicycle")
    assert "reconstruction" in entry.faithful
    rng = np.random.default_rng(0)
    assert entry.detect(*rng.integers(0, 256, (2, 40, 56), np.uint8)).shape[1] == 6
    with pytest.raises(ValueError, match="are of mlf-cnn; expected some of max"):
        chosen("max", [tmp_path / "mlf-cnn.onnx"])


def test_a_detector_without_frames_is_one_sentence(detector_config):
    with pytest.raises(ValueError, match="frames is 0; expected some: a detector is trained on whole frames"):
        train(dataclasses.replace(detector_config, scenes=SceneConfig(frames=0)))


def test_the_detector_takes_boxed_training_parts_alone(repo_root):
    config = load_config(repo_root / "config" / "training" / "methods" / "mlf-cnn.yaml")
    ours = load_config(repo_root / "config" / "training" / "default.yaml").data.sets
    assert config.method == "mlf-cnn"
    assert config.data.sets == {name: ours[name] for name in ("roadscene", "flir")}, "the parts that our model has, too"
    assert config.data.crops is None
    assert config.start_from is None
