"""``vi-fusion adapt``: what it learns from, what it refuses, and that only what is better is kept."""

import hashlib
import json
import signal
import subprocess
import sys

import bag_maker
import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (scripts/setup --train)")
pytest.importorskip("lightning", reason="lightning is not installed (scripts/setup --train)")

from vi_fusion_ros.cli import main  # noqa: E402
from vi_fusion_ros.engines.load import load_engine  # noqa: E402
from vi_fusion_ros.engines.manifest import Manifest  # noqa: E402
from vi_fusion_ros.image_codecs import image_codecs  # noqa: E402
from vi_fusion_ros.pipeline import build_pipeline  # noqa: E402
from vi_fusion_ros.registration import Rig  # noqa: E402
from vi_fusion_ros.resources import default_model  # noqa: E402
from vi_fusion_ros.sources.synthetic import SyntheticScene  # noqa: E402
from vi_fusion_ros.training.adapt import run as adaptation  # noqa: E402
from vi_fusion_ros.training.adapt.recordings import open_labelled, open_recordings  # noqa: E402
from vi_fusion_ros.training.adapt.release import release  # noqa: E402
from vi_fusion_ros.training.adapt.task import AdaptTask, _AdaptBatches  # noqa: E402
from vi_fusion_ros.training.adapt.verdict import judge  # noqa: E402
from vi_fusion_ros.training.batches.augment import Augmented  # noqa: E402
from vi_fusion_ros.training.config import OptimConfig  # noqa: E402
from vi_fusion_ros.training.data import Splits  # noqa: E402
from vi_fusion_ros.training.datasets.base import DatasetError  # noqa: E402
from vi_fusion_ros.training.datasets.paired import PairedFolders  # noqa: E402
from vi_fusion_ros.training.datasets.roadscene import RoadSceneDataset  # noqa: E402
from vi_fusion_ros.training.datasets.rosbag import RosbagDataset  # noqa: E402
from vi_fusion_ros.training.release.onnx_export import export_onnx  # noqa: E402
from vi_fusion_ros.training.warm_start import load_network  # noqa: E402
from vi_fusion_ros.types import Frame, FramePair  # noqa: E402

SHORT = OptimConfig(lr=1e-4, backbone_lr=0.05, epochs=3, steps=2, warmup=1, ema=0.5, freeze_norm=0.0)
PAIRS = 64


def write(root, pairs):
    for camera in ("visible", "thermal"):
        (root / camera).mkdir(parents=True)
    for number, (visible, thermal) in enumerate(pairs):
        cv2.imwrite(str(root / "visible" / f"{number:03d}.png"), visible)
        cv2.imwrite(str(root / "thermal" / f"{number:03d}.png"), thermal)
    return root


def street(count=PAIRS):
    scene = SyntheticScene(320, 240)
    return [(scene.visible(t), scene.thermal_8_bit(t)) for t in np.linspace(0, 9, count)]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """64 pairs of the synthetic street by day, 320x240."""
    return write(tmp_path_factory.mktemp("recordings") / "street", street())


@pytest.fixture(scope="module")
def opened(recording, tmp_path_factory):
    return open_recordings([PairedFolders(recording)], None, tmp_path_factory.mktemp("pixels"))


def shipped():
    return load_network(default_model())


def spoiled(part):
    """The shipped model with noise on some of its weights."""
    network, generator = shipped(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in getattr(network, part).parameters():
            weight += 0.3 * weight.std(correction=0) * torch.randn(weight.shape, generator=generator)
    return network


def test_the_part_set_aside_is_in_a_row_and_apart_from_what_is_trained_on(opened):
    (only,) = opened
    trained, aside = ([sample.order for sample in part.samples] for part in (only.trained, only.aside))
    assert aside == list(range(51, 64))
    assert trained == list(range(50))
    assert only.ranges == ((0, 50), (51, 64))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("noise", "do not show the same things at the same places"),
        ("mirrored", "do not show the same things at the same places"),
        ("shifted", "the registration is off by about"),
        ("few", "20 pairs; expected 60 or more"),
        ("small", "images of 60 pixels; expected whole frames"),
    ],
)
def test_recordings_that_cannot_be_learned_from_are_one_sentence(change, sentence, tmp_path, capsys):
    pairs, rng = street(), np.random.default_rng(0)
    if change == "noise":
        pairs = [tuple(rng.integers(0, 256, image.shape, np.uint8) for image in pair) for pair in pairs]
    elif change == "mirrored":
        pairs = [(visible, thermal[:, ::-1]) for visible, thermal in pairs]
    elif change == "shifted":
        pairs = [(visible, np.roll(thermal, 6, 1)) for visible, thermal in pairs]
    elif change == "few":
        pairs = pairs[:20]
    else:
        pairs = [(visible[:60], thermal[:60]) for visible, thermal in pairs]
    write(tmp_path / "recording", pairs)
    assert main(["adapt", str(tmp_path / "recording"), "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_pairs_that_are_not_registered_need_a_rig(tmp_path):
    small = [(visible, cv2.resize(thermal, (160, 120), interpolation=cv2.INTER_AREA)) for visible, thermal in street()]
    dataset = PairedFolders(write(tmp_path / "recording", small))
    dataset.samples = [type(s)(**{**s.__dict__, "registered": False}) for s in dataset.samples]
    with pytest.raises(DatasetError, match="not registered; expected --rig FILE"):
        open_recordings([dataset], None, tmp_path / "pixels")
    scale = np.array([[2.0, 0, 0.5], [0, 2.0, 0.5], [0, 0, 1]])
    Rig(scale, (160, 120), (320, 240)).save(tmp_path / "rig.yaml")
    (found,) = open_recordings([dataset], tmp_path / "rig.yaml", tmp_path / "pixels")
    assert found.trained[0].shape == (240, 320, 4)
    wrong = scale.copy()
    wrong[0, 2] += 6
    Rig(wrong, (160, 120), (320, 240)).save(tmp_path / "rig.yaml")
    with pytest.raises(DatasetError, match="the registration is off by about"):
        open_recordings([dataset], tmp_path / "rig.yaml", tmp_path / "pixels")


def test_a_bag_with_its_rig_and_with_the_rig_of_other_cameras(tmp_path):
    scene = SyntheticScene(320, 240)
    entries = []
    for number, second in enumerate(np.linspace(0, 9, PAIRS)):
        stamp = bag_maker.START_NS + number * 100_000_000
        small = cv2.resize(scene.thermal(second), (160, 120), interpolation=cv2.INTER_AREA)
        entries += [(stamp, bag_maker.VISIBLE, scene.visible(second)), (stamp + 2_000_000, bag_maker.THERMAL, small)]
    bag = RosbagDataset(bag_maker.write_bag(tmp_path / "bag", entries), image_codecs())
    scale = np.array([[2.0, 0, 0.5], [0, 2.0, 0.5], [0, 0, 1]])
    Rig(scale, (160, 120), (320, 240)).save(tmp_path / "rig.yaml")
    with pytest.raises(DatasetError, match="not registered; expected --rig FILE"):
        open_recordings([bag], None, tmp_path / "pixels")
    (found,) = open_recordings([bag], tmp_path / "rig.yaml", tmp_path / "pixels")
    assert (len(found.trained), len(found.aside)) == (50, 13)
    other = np.array([[1.5, 0, 70], [0, 1.5, 20], [0, 0, 1]])
    Rig(other, (160, 120), (320, 240)).save(tmp_path / "other.yaml")
    with pytest.raises(DatasetError, match="do not show the same things at the same places"):
        open_recordings([bag], tmp_path / "other.yaml", tmp_path / "pixels")


def task_of(opened, tmp_path):
    teacher = shipped()
    config = adaptation._config(teacher.config, default_model(), opened, tmp_path, SHORT)
    task = AdaptTask(config, Splits({opened[0].name: opened[0].trained}, {}, None, None), teacher)
    task.network.load_state_dict(teacher.state_dict())
    return task, teacher


def test_what_perception_has_to_keep_is_kept_at_the_start_and_predictions_are_not(opened, tmp_path):
    task, _ = task_of(opened, tmp_path)
    task.network.perception.eval()
    terms = task._perception_terms(windows_of(task))
    assert terms["keep"].item() < 1e-9
    for camera in ("visible", "thermal"):
        assert terms[f"predict_from_{camera}"].item() > 1e-3


def windows_of(task):
    return _AdaptBatches(task.config, task.splits.train, 1, 0)[0].windows


def test_a_camera_alone_learns_to_predict_the_other_and_the_teacher_stays(opened, tmp_path):
    task, teacher = task_of(opened, tmp_path)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    frozen = [p.clone() for p in task.network.perception.branches.frozen_part(1)[0].parameters()]
    images = Augmented(*(part[:1] for part in windows_of(task)))
    optimiser = torch.optim.AdamW(
        [p for p in task.network.perception.parameters() if p.requires_grad], 2e-5
    )  # as adapt.yaml has it
    losses = []
    for _ in range(8):
        task.network.perception.eval()
        terms = task._perception_terms(images)
        losses.append({name: value.item() for name, value in terms.items()})
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()
    for camera in ("visible", "thermal"):
        assert losses[-1][f"predict_from_{camera}"] < 0.95 * losses[0][f"predict_from_{camera}"]
    assert losses[-1]["keep"] < 0.1
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    after = task.network.perception.branches.frozen_part(1)[0].parameters()
    assert all(torch.equal(one, other) for one, other in zip(frozen, after, strict=True))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """16 pairs, the street and blurred noise in turn, with what is there."""
    root, rng, pairs, rows = tmp_path_factory.mktemp("labelled") / "frames", np.random.default_rng(0), [], []
    scene = SyntheticScene(320, 240)
    for second, pair in zip(np.linspace(0, 9, 8), street(8), strict=True):
        noise = [cv2.GaussianBlur(rng.integers(0, 256, image.shape, np.uint8), (0, 0), 6) for image in pair]
        pairs += [pair, noise]
        boxes = [
            {"class": shown.label, "box_xyxy": [x, y, x + width, y + height]}
            for shown in scene.truth(second).objects
            for x, y, width, height in [shown.box]
        ]
        rows += [{"labelled": True, "objects": boxes}, {"labelled": True, "objects": []}]
    write(root, pairs)
    rows = [{"frame": f"{number:03d}", "day_night": "day", **row} for number, row in enumerate(rows)]
    (root / "frames.json").write_text(json.dumps(rows))
    return root


def verdict(before, after, opened, labelled=()):
    manifest = Manifest.load(default_model().with_suffix(".json"))
    return judge(before, after, manifest, [recording.aside for recording in opened], labelled)


def test_the_same_network_is_no_better(opened):
    found = verdict(shipped(), shipped(), opened)
    assert found["words"]["same"] == 1
    assert len(found["reasons"]) == 1
    assert found["reasons"][0].startswith("only 0 of 2")
    assert found["words"]["reasons"] == ["with either camera alone, labels are no nearer to those of both"]


def test_a_worse_picture_is_refused(opened):
    found = verdict(shipped(), spoiled("fusion"), opened)
    assert "Qabf is worse by" in " ".join(found["reasons"])
    assert found["words"]["moved"] == 0


def test_drifted_labels_are_refused_apart_from_the_picture(opened):
    found = verdict(spoiled("fusion"), spoiled("perception"), opened)
    assert "the labels have drifted" in " ".join(found["words"]["reasons"])
    assert found["reasons"] == []


def test_what_is_told_worse_of_labelled_frames_is_not_taken_over(opened, labelled, tmp_path):
    truth = open_labelled([RoadSceneDataset(labelled)], tmp_path)
    found = verdict(shipped(), spoiled("perception"), opened, truth)
    said = " ".join(found["words"]["reasons"])
    assert "on the labelled frames, with both cameras, ROC-AUC falls from" in said
    assert "on the labelled frames, with visible only, ROC-AUC falls from" in said
    assert found["labelled"]["n"] == 16
    row = found["labelled"]["both"]
    assert row["difference"]["mean"]["auc"] == pytest.approx(row["after"]["mean"]["auc"] - row["before"]["mean"]["auc"])
    assert row["before"]["mean"]["auc"] > 0.95


def test_what_is_better_is_released_and_the_node_s_pipeline_runs_it(opened, tmp_path):
    found = verdict(spoiled("fusion"), shipped(), opened)
    assert found["reasons"] == []
    base = json.loads(default_model().with_suffix(".json").read_text())
    made = release(shipped(), tmp_path / "adapted.onnx", base, opened, found)
    assert made["training"]["adapted_from"]["model_id"] == base["model_id"]
    assert made["training"]["splits"]["street"] == {"train": [[0, 50]], "select": [], "test": [[51, 64]]}
    assert made["thresholds"] == base["thresholds"]
    assert "presence" not in made["metrics"], "it was not measured anew"
    engine = load_engine(tmp_path / "adapted.onnx", threads=1)
    visible, thermal = street(1)[0]
    result = build_pipeline(engine, None).process(FramePair(Frame(visible), Frame(thermal)))
    assert result.fused.shape == (240, 320, 3)
    assert "set aside" in (tmp_path / "adapted.md").read_text()


def test_an_adaptation_that_is_no_better_keeps_nothing_and_says_why(recording, labelled, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(adaptation.adapt, "__defaults__", (None, SHORT, ()))
    arguments = ["adapt", str(recording), "-o", str(tmp_path / "out"), "--labelled", str(labelled)]
    assert main([*arguments[:-1], str(recording)]) == 2
    assert "no label is in some frames and not in others" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(arguments) == 1
    said = capsys.readouterr().out
    assert "nothing is kept: " in said
    assert "ROC-AUC of presence on 16 labelled frames: " in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["verdict.json"]
    assert json.loads((tmp_path / "out" / "verdict.json").read_text())["kept"] is False
    assert main(arguments) == 1, "it is not done again"
    assert "nothing is kept: " in capsys.readouterr().out
    write(tmp_path / "other", street(60))
    assert main(["adapt", str(tmp_path / "other"), "-o", str(tmp_path / "out")]) == 2
    assert "of another model, rig, recordings or labelled frames" in capsys.readouterr().err


def initializers(path):
    import onnx
    from onnx import numpy_helper

    return {item.name: numpy_helper.to_array(item) for item in onnx.load(str(path)).graph.initializer}


def test_a_model_with_a_poor_picture_is_adapted_and_its_words_stay(recording, tmp_path):
    start = tmp_path / "start.onnx"
    export_onnx(spoiled("fusion"), start)
    base = json.loads(default_model().with_suffix(".json").read_text())
    base["onnx_sha256"] = hashlib.sha256(start.read_bytes()).hexdigest()
    start.with_suffix(".json").write_text(json.dumps(base))
    optim = OptimConfig(lr=2e-3, backbone_lr=0.0, epochs=2, steps=12, warmup=2, ema=0.5, freeze_norm=0.0)
    ended = adaptation.adapt([PairedFolders(recording)], start, tmp_path / "out", None, optim)
    assert ended.verdict["reasons"] == []
    assert ended.verdict["words"]["reasons"], "perception learned nothing at a rate of 0"
    assert ended.model == tmp_path / "out" / "adapted.onnx"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "adapted.json", "adapted.md", "adapted.onnx", "verdict.json"
    ]  # fmt: skip
    before, after = initializers(start), initializers(ended.model)
    same = {name: np.allclose(before[name], after[name], atol=1e-6) for name in before}
    assert all(same[name] for name in before if name.startswith("perception."))
    assert not all(same[name] for name in before if name.startswith("fusion."))
    assert load_engine(ended.model, threads=1).manifest.training["adapted_from"]["onnx_sha256"] == base["onnx_sha256"]


_KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from vi_fusion_ros.resources import default_model
from vi_fusion_ros.training.adapt import run as adaptation
from vi_fusion_ros.training.adapt.task import AdaptTask
from vi_fusion_ros.training.config import OptimConfig
from vi_fusion_ros.training.datasets.paired import PairedFolders
torch.set_num_threads(1)
recording, out, moment = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

def kill(*_arguments, **_named):
    os.kill(os.getpid(), signal.SIGKILL)

class Dying(PairedFolders):
    reads = 0

    def decode(self, sample):
        Dying.reads += 1
        if moment == "decoding" and Dying.reads == 20:
            kill()
        return super().decode(sample)

step = AdaptTask.training_step
def training_step(task, batch, number):
    if moment == "second epoch" and task.current_epoch == 1:
        kill()
    print("epoch", task.current_epoch, flush=True)
    return step(task, batch, number)
AdaptTask.training_step = training_step
if moment == "judging":
    adaptation.judge = kill
if moment == "verdict":
    adaptation.shutil.rmtree = kill
optim = OptimConfig(lr=1e-4, backbone_lr=0.05, epochs=3, steps=2, warmup=1, ema=0.5, freeze_norm=0.0)
adaptation.adapt([Dying(recording)], default_model(), out, None, optim)
"""


def test_a_killed_adaptation_goes_on_where_it_was(recording, tmp_path):
    """Killed four times with one folder, each time at a later moment; no epoch is done twice."""
    out = tmp_path / "out"

    def epochs_until(moment):
        command = [sys.executable, "-c", _KILLED, str(recording), str(out), moment]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        assert process.returncode == -signal.SIGKILL, process.stderr[-2000:]
        return [line.split()[1] for line in process.stdout.splitlines() if line.startswith("epoch ")]

    assert epochs_until("decoding") == []
    assert not list((out / "run" / "pixels").glob("*.json")), "half of the pixels do not count"
    assert epochs_until("second epoch") == ["0", "0"]
    assert epochs_until("judging") == ["1", "1", "2", "2"]
    assert [path.name for path in out.iterdir()] == ["run"], "no model and no verdict yet"
    assert epochs_until("verdict") == []
    assert sorted(path.name for path in out.iterdir()) == ["run", "verdict.json"]
    verdict = json.loads((out / "verdict.json").read_text())
    ended = adaptation.adapt([PairedFolders(recording)], default_model(), out, None, SHORT)
    assert ended.verdict == verdict
    assert [path.name for path in out.iterdir()] == ["verdict.json"], "what the last one left is taken away"
