"""Training end to end, in seconds: it learns, resumes, repeats itself, and survives what goes wrong."""

from __future__ import annotations

import dataclasses
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")
lightning = pytest.importorskip("lightning", reason="the training requirements are not installed")

from lightning import Trainer  # noqa: E402

from vi_fusion_ros.training.batches.augment import AugmentConfig  # noqa: E402
from vi_fusion_ros.training.batches.patches import PatchConfig  # noqa: E402
from vi_fusion_ros.training.checkpoints import checkpoint_weights  # noqa: E402
from vi_fusion_ros.training.config import TrainConfig, build, load_config, plain  # noqa: E402
from vi_fusion_ros.training.task import FusionTask  # noqa: E402
from vi_fusion_ros.training.trainer import train  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
NO_PATCHES = PatchConfig(patches=0)


SET = "name: a\ndata: {sets: {s: {path: x}}}\n"
RANGES = "name: a\ndata: {sets: {s: {path: x, train: [[1, 10]], "


def weights(path):
    return checkpoint_weights(path)[1]


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_a_short_run_learns_labels_told_apart_by_colour(config):
    optim = dataclasses.replace(config.optim, epochs=2, steps=30, lr=5e-3, ema=0.8)
    scenes = dataclasses.replace(config.scenes, frames=8, crops=0)
    patches = dataclasses.replace(config.patches, patches=0)
    plain_images = AugmentConfig(**{field.name: 0.0 for field in dataclasses.fields(AugmentConfig)})
    run = train(dataclasses.replace(config, optim=optim, scenes=scenes, patches=patches, augmentation=plain_images))
    assert run.score > 0.9
    assert (run.last.parent / "best.ckpt").exists()
    assert list((run.last.parent / "csv").rglob("metrics.csv"))
    assert list((run.last.parent / "tensorboard").rglob("events.*"))


def test_a_resumed_run_gives_the_weights_of_an_uninterrupted_one(config, monkeypatch):
    whole = train(dataclasses.replace(config, name="whole"))
    cut = dataclasses.replace(config, name="cut")
    begin = FusionTask.on_train_epoch_start

    def power_cut(task):
        if task.current_epoch == 1:
            raise RuntimeError("power cut")
        begin(task)

    with monkeypatch.context() as patch:
        patch.setattr(FusionTask, "on_train_epoch_start", power_cut)
        with pytest.raises(RuntimeError, match="power cut"):
            train(cut)
    half = weights(config.runs / "cut" / "last.ckpt")
    assert any(not torch.equal(a, b) for a, b in zip(half.values(), weights(whole.last).values(), strict=True))
    resumed, uninterrupted = weights(train(cut, resume=True).last), weights(whole.last)
    # Not to the bit: sums may run in another order after a checkpoint was read, and Adam's first steps enlarge that.
    torch.testing.assert_close(resumed, uninterrupted, atol=2e-3, rtol=1e-3)
    with pytest.raises(ValueError, match=r"cut/last\.ckpt has had its \d+ epochs; raise optim\.epochs"):
        train(cut, resume=True)


def test_two_runs_with_one_seed_agree_and_another_seed_differs(config):
    first, second = (train(dataclasses.replace(config, name=name)) for name in ("a", "b"))
    assert_same(weights(first.last), weights(second.last))
    other = weights(train(dataclasses.replace(config, name="c", seed=1)).last)
    assert any(not torch.equal(a, b) for a, b in zip(other.values(), weights(first.last).values(), strict=True))


def test_a_full_disk_leaves_the_last_checkpoint_readable(config, tmp_path):
    """The disk is "full" for the second run: no file may grow past half a checkpoint."""
    last = train(dataclasses.replace(config, optim=dataclasses.replace(config.optim, epochs=1))).last
    before = weights(last)
    limit = last.stat().st_size // 2
    import yaml

    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(plain(config)))
    code = (
        "import sys; from pathlib import Path\n"
        "from vi_fusion_ros.training.config import load_config\n"
        "from vi_fusion_ros.training.trainer import train\n"
        "train(load_config(Path(sys.argv[1])), resume=True)\n"
    )

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        preexec_fn=limited,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "File too large" in done.stderr
    assert_same(weights(last), before)


def test_a_truncated_checkpoint_is_one_sentence(config, tmp_path):
    bad = tmp_path / "bad.ckpt"
    bad.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(ValueError, match=r"bad\.ckpt: not a checkpoint of vi-fusion train"):
        checkpoint_weights(bad)
    with pytest.raises(ValueError, match="cannot be read"):
        checkpoint_weights(tmp_path / "none.ckpt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\n", "data"),
        (f"{SET}speed: 3\n", "unknown key speed"),
        (f"{SET}optim: {{lr: fast}}\n", "optim.lr is 'fast'; expected float"),
        (f"{SET}modality: radar\n", "modality is 'radar'"),
        (f"{SET}network: {{view: 1280}}\n", "scenes.resolution is 0.5; expected 1 for network.view 1280"),
        ("name: a\ndata: {sets: {}}\n", "data.sets is empty; expected at least one dataset of full frames"),
        ("name: a\ndata: {sets: {s: {layout: paired}}}\n", "path"),
        ("name: a\ndata: {sets: {s: x}}\n", "data.sets.s is 'x'; expected keys and values"),
        ("name: a\ndata: {sets: {s: {path: x, train: [[1, two]]}}}\n", "data.sets.s.train is 'two'; expected int"),
        (f"{RANGES}select: [[8, 12]]}}}}}}\n", "x: its train and select ranges overlap; a part must stay unseen"),
        (f"{RANGES}test: [[0, 2]]}}}}}}\n", "x: its train and test ranges overlap; a part must stay unseen"),
        (f"{RANGES}select: [[10, 20]], test: [[5, 6], [19, 30]]}}}}}}\n", "ranges overlap; a part must stay unseen"),
        ("name: a\ndata: {sets: {s: {path: x, test: [[0, 9]]}}}\n", "its train and test ranges overlap"),
        ("- a\n", "expected keys and values"),
        ("a: [\n", "is not YAML"),
    ],
)
def test_a_bad_configuration_is_one_sentence(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml(: | is not YAML: )") as caught:
        load_config(path)
    assert message in str(caught.value)


def test_committed_configurations_are_valid():
    for path in sorted((ROOT / "config" / "training").glob("*.yaml")):
        assert build(TrainConfig, plain(load_config(path))) == load_config(path)


class _Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_what_is_hidden_in_a_checkpoint_does_not_run(tmp_path):
    mark = tmp_path / "ran"
    torch.save({"hyper_parameters": {"config": _Touch(mark)}, "state_dict": {}}, tmp_path / "evil.ckpt")
    with pytest.raises(ValueError, match="not a checkpoint of vi-fusion train"):
        checkpoint_weights(tmp_path / "evil.ckpt")
    assert not mark.exists()


def test_a_run_of_the_fusion_decoder_alone_leaves_perception_as_it_was(config):
    fuses = dataclasses.replace(config, scenes=dataclasses.replace(config.scenes, frames=0))
    run = train(fuses)
    later = weights(run.last)
    again = dataclasses.replace(config, name="goes-on", start_from=run.last, patches=NO_PATCHES)
    trained = weights(train(again).last)
    decoder = [name for name in later if name.startswith("fusion.")]
    assert all(torch.equal(trained[name], later[name]) for name in decoder if "num_batches" not in name)
    stem = "perception.branches.backbone.stem.0.conv.weight"
    assert not torch.equal(trained[stem], later[stem])  # COCO's, as the first run trained no perception


@pytest.mark.parametrize(
    ("backbone", "blocks", "last", "learns"),
    [
        ("csp-darknet-tiny", "backbone.stages.", 1, "backbone.stages.2.project.conv.weight"),
        ("efficientnet-lite0", "visible.blocks.", 4, "visible.blocks.10.layers.2.conv.weight"),
        ("centernet-mobilenetv3", "detector.blocks.", 11, "detector.blocks.14.project.weight"),
    ],
)
def test_frozen_blocks_keep_the_weights_of_others_and_the_rest_learns(config, backbone, blocks, last, learns):
    from vi_fusion_ros.model.branches import BACKBONES

    given = BACKBONES[backbone]()
    try:
        given.load_pretrained()
    except ValueError as error:
        pytest.skip(str(error))
    network = dataclasses.replace(config.network, backbone=backbone)
    optim = dataclasses.replace(config.optim, frozen_blocks=last)
    trained = weights(train(dataclasses.replace(config, patches=NO_PATCHES, network=network, optim=optim)).last)
    prefix, stem = "perception.branches.", blocks.rsplit(".", 2)[0] + ".stem"
    for name, tensor in given.state_dict().items():
        number = int(name[len(blocks) :].split(".")[0]) if name.startswith(blocks) else None
        statistics = name.rsplit(".", 1)[1].startswith(("running", "num")) and name.startswith((blocks, stem))
        if statistics or name.startswith(stem) or (number is not None and number <= last):
            assert torch.equal(trained[prefix + name], tensor), name
    assert not torch.equal(trained[prefix + learns], given.state_dict()[learns])


def test_frames_to_choose_by_that_tell_nothing_end_no_run(config):
    """Of one camera alone there is no score; a NaN would stop the run at its first epoch."""
    street = config.data.sets["street"]
    blind = dataclasses.replace(street, select=((16, 17),))  # one frame: no label is both there and not there
    data = dataclasses.replace(config.data, sets={"street": blind})
    run = train(dataclasses.replace(config, data=data, patches=NO_PATCHES))
    assert run.score == 0
    assert torch.load(run.last, weights_only=True)["epoch"] == config.optim.epochs - 1


@pytest.mark.parametrize(("able", "chosen"), [(True, "bf16-mixed"), (False, "32-true")])
def test_half_precision_is_only_for_processors_that_compute_it(config, monkeypatch, caplog, able, chosen):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    there = {"architecture": "x86_64", "avx512_bf16": able}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: there)
    seen = []
    monkeypatch.setattr(lightning, "Trainer", lambda **options: seen.append(options["precision"]) or Trainer(**options))
    train(dataclasses.replace(config, trainer={**config.trainer, "precision": "bf16-mixed"}))
    assert seen == [chosen]
    assert ("no instructions for bfloat16" in caplog.text) is not able
