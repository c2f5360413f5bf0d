"""Smaller networks: made of a larger one's channels, and learning from it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch", reason="the training requirements are not installed")
pytest.importorskip("onnx", reason="the training requirements are not installed")

from vi_fusion_ros.cli import main  # noqa: E402
from vi_fusion_ros.engines.load import load_engine  # noqa: E402
from vi_fusion_ros.model.branches import BACKBONES  # noqa: E402
from vi_fusion_ros.model.network import FusionNet, NetworkConfig  # noqa: E402
from vi_fusion_ros.resources import default_model  # noqa: E402
from vi_fusion_ros.training.batches.places import ObjectMap  # noqa: E402
from vi_fusion_ros.training.batches.scenes import SceneBatch, coarser  # noqa: E402
from vi_fusion_ros.training.checkpoints import checkpoint_weights  # noqa: E402
from vi_fusion_ros.training.config import plain  # noqa: E402
from vi_fusion_ros.training.data import load_splits  # noqa: E402
from vi_fusion_ros.training.prune import pruned  # noqa: E402
from vi_fusion_ros.training.task import FusionTask, _Batches  # noqa: E402
from vi_fusion_ros.training.warm_start import load_network  # noqa: E402

HALF = NetworkConfig(branch=16, fused=16, hidden=0.5, pyramid=(24, 32, 48))


@pytest.fixture(scope="module")
def shipped():
    return load_network(default_model())


def outputs(network):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        return network.eval()(*(torch.rand(1, c, 64, 96, generator=generator) for c in (3, 1)))


def test_all_channels_are_the_same_network(shipped):
    same = pruned(shipped, shipped.config)
    for ours, theirs in zip(outputs(same), outputs(shipped), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_channels_that_do_nothing_are_the_ones_that_go(backbone):
    """Beside the channels of a small network stand ones without weight: pruned, it is the small network again."""
    torch.manual_seed(0)
    half = dataclasses.replace(HALF, backbone=backbone, hidden=1.0 if backbone == "centernet-mobilenetv3" else 0.5)
    small = FusionNet(half).eval()
    for norm in (m for m in small.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.bias)
    large = pruned_into(small, FusionNet(NetworkConfig(backbone=backbone)).eval())
    for ours, theirs in zip(outputs(pruned(large, half)), outputs(small), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("missing", ["visible", "thermal"])
def test_one_pass_over_both_cameras_sees_a_camera_alone_as_two_passes_do(shipped, missing):
    once = pruned(shipped, dataclasses.replace(shipped.config, together=True))
    images = {"visible": torch.rand(2, 3, 64, 96), "thermal": torch.rand(2, 1, 64, 96)}
    images[missing].zero_()
    with torch.no_grad():
        for ours, theirs in zip(once.perceive(**images), shipped.perceive(**images), strict=True):
            torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_one_pass_over_both_cameras_sees_their_mean(shipped):
    once = pruned(shipped, dataclasses.replace(shipped.config, together=True))
    visible, thermal = torch.rand(1, 3, 64, 96), torch.rand(1, 1, 64, 96)
    mean = (visible + thermal) / 2
    seen = once.perception.branches(visible, thermal)
    wanted = once.perception.branches(mean, torch.zeros_like(thermal))
    torch.testing.assert_close(seen.visible, wanted.visible)


def test_another_backbone_is_no_smaller_one(shipped):
    with pytest.raises(ValueError, match=r"network\.backbone is efficientnet-lite0; expected centernet-mobilenetv3"):
        pruned(shipped, dataclasses.replace(HALF, backbone="efficientnet-lite0"))


def pruned_into(small, large):
    """The weights of ``small`` in the first places of a network of the shipped one's sizes; zeros elsewhere."""
    given, side_by_side = small.state_dict(), torch.cat((torch.arange(16), 32 + torch.arange(16)))
    with torch.no_grad():
        for name, tensor in large.state_dict().items():
            part = given[name]
            tensor.fill_(1.0 if name.endswith("running_var") else 0.0)
            places = [torch.arange(n) for n in part.shape]
            for axis, (count, whole) in enumerate(zip(part.shape, tensor.shape, strict=True)):
                if name.startswith(("fusion.attend", "fusion.merge.conv")) and (count, whole) == (32, 64):
                    places[axis] = side_by_side  # the second camera begins where that of the large network does
                elif name.endswith("project.conv.weight") and axis == 1:
                    places[axis] = torch.cat([start + torch.arange(count // 2) for start in (0, whole // 2)])
                elif name.startswith("fusion.decode") and axis == 1:
                    places[axis] = torch.cat((torch.arange(16), 32 + torch.arange(32)))
            if part.ndim:
                tensor[torch.meshgrid(*places, indexing="ij")] = part
    return large


def test_the_command_writes_a_model_that_the_node_loads(tmp_path, capsys):
    config = tmp_path / "half.yaml"
    sizes = "{backbone: centernet-mobilenetv3, branch: 16, blocks: 0, fused: 16, pyramid: [24, 32, 48], view: 320}"
    config.write_text(f"name: half\ndata: {{sets: {{a: {{path: a}}}}}}\nnetwork: {sizes}\n")
    out = tmp_path / "half.onnx"
    assert main(["prune", str(default_model()), str(config), "-o", str(out)]) == 0
    made = json.loads(out.with_suffix(".json").read_text())
    base = json.loads(default_model().with_suffix(".json").read_text())
    assert made["model_id"] in capsys.readouterr().out
    assert made["training"]["pruned_from"]["onnx_sha256"] == base["onnx_sha256"]
    assert made["novelty"] == base["novelty"]
    assert made["metrics"]["gmac_640x480"] < 0.3 * base["metrics"]["gmac_640x480"]
    wanted = {"backbone": "centernet-mobilenetv3", "hidden": 1.0, "blocks": 0, "view": 320}
    assert load_network(out).config == dataclasses.replace(HALF, **wanted)
    answer = load_engine(out, threads=1).infer(
        np.ones((1, 3, 480, 640), np.float32), np.ones((1, 1, 480, 640), np.float32)
    )
    assert answer.objects.shape == (1, 15, 32, 40)
    config.write_text(config.read_text().replace("branch: 16", "branch: 48"))
    assert main(["prune", str(default_model()), str(config), "-o", str(tmp_path / "no.onnx")]) == 2
    assert "network.branch is 48; expected at most 32" in capsys.readouterr().err
    assert not (tmp_path / "no.onnx").exists()


@pytest.mark.parametrize("size", [(8, 12), (10, 14)], ids=["half", "five eighths, and a little less of the width"])
def test_targets_of_a_smaller_view_describe_the_same_boxes(size):
    rng, boxes = np.random.default_rng(0), []
    targets = ObjectMap((64, 96), np.array([True, True, False]))
    scale = 2 * np.array([size[1] / 24, size[0] / 16] * 2)  # from the canvas to pixels of the student's view
    for label, centre in ((0, (30, 20)), (1, (70, 40))):
        half = rng.uniform(8, 14, 2)
        boxes.append((label, *(centre - half), *(centre + half)))
        targets.add(*boxes[-1])
    grids = (torch.from_numpy(np.ascontiguousarray(a))[None] for a in (targets.centres, targets.sides, targets.weight))
    part = coarser(SceneBatch(None, None, None, None, *grids), size)
    assert part.centres.shape == (1, 3, *size)
    assert (part.centres[0, 2] == -1).all()  # what is unknown stays unknown
    for label, *box in boxes:
        places = np.argwhere(part.centres[0, label].numpy() == 1)
        assert len(places)
        for row, column in places:
            left, up, right, down = part.sides[0, 4 * label : 4 * label + 4, row, column].tolist()
            x, y = (column + 0.5) * 8, (row + 0.5) * 8
            np.testing.assert_allclose([x - left, y - up, x + right, y + down], np.array(box) * scale, atol=1e-4)


@pytest.mark.parametrize(("sizes", "resolution"), [({"view": 384, "together": True}, 0.5), ({"view": 1280}, 1.0)])
def test_a_student_comes_nearer_to_its_teacher(config, shipped, sizes, resolution):
    """By the teacher's terms alone; each sees the frames at its own size."""
    torch.manual_seed(0)
    scenes = dataclasses.replace(config.scenes, sizes=((64, 96),), crops=0, resolution=resolution)
    config = dataclasses.replace(config, network=dataclasses.replace(HALF, **sizes), scenes=scenes)
    task = FusionTask(config, load_splits(config.data), shipped)
    task.network.perception.drop.eval()
    batch = _Batches(config, task.splits, 1, 0)[0]
    weights = [weight for weight in task.network.parameters() if weight.requires_grad]
    adam, off = torch.optim.Adam(weights, lr=3e-3), []
    for _ in range(8):
        taught = torch.stack([task._patch_terms(batch.patches)["taught"], task._scene_terms(batch.scenes)["taught"]])
        off.append(taught.detach())
        adam.zero_grad()
        taught.sum().backward()
        adam.step()
    assert (off[-1] < 0.8 * off[0]).all()
    assert not any("teacher" in name for name in task.state_dict())
    alone = FusionTask(config, task.splits)
    assert "taught" not in alone._patch_terms(batch.patches)


def test_a_run_learns_from_the_teacher_that_it_is_given(config, tmp_path):
    written = tmp_path / "run.yaml"
    optim = dataclasses.replace(config.optim, epochs=1, steps=1)
    config = dataclasses.replace(config, optim=optim)
    written.write_text(yaml.safe_dump(plain(config)))
    assert main(["train", str(written), "--teacher", str(default_model())]) == 0
    found = checkpoint_weights(config.runs / "smoke" / "last.ckpt")[0]
    assert found.teacher == default_model()
