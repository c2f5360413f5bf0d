"""The networks of methods of the literature: what they learn by, a run of seconds, and the file that it gives."""

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")
pytest.importorskip("lightning", reason="the training requirements are not installed")

from vi_fusion_ros.cli import main  # noqa: E402
from vi_fusion_ros.methods.registry import method  # noqa: E402
from vi_fusion_ros.training.batches.patches import PatchConfig  # noqa: E402
from vi_fusion_ros.training.batches.scenes import SceneConfig  # noqa: E402
from vi_fusion_ros.training.config import load_config  # noqa: E402
from vi_fusion_ros.training.methods.losses import exposure_loss, two_focal_planes  # noqa: E402
from vi_fusion_ros.training.methods.recipes import RECIPES  # noqa: E402
from vi_fusion_ros.training.trainer import train  # noqa: E402


def texture(seed):
    return torch.rand((2, 1, 40, 48), generator=torch.Generator().manual_seed(seed))


def test_mef_ssim_wants_the_structure_of_the_source_that_has_some():
    image, flat = texture(0), torch.full((2, 1, 40, 48), 0.4)
    for pair in ((image, flat), (flat, image)):
        assert exposure_loss(image + 0.3, *pair) == pytest.approx(0, abs=1e-3), "brightness is left out"
        assert exposure_loss(flat, *pair) > 0.95
        assert exposure_loss(-image, *pair) > 1.9
    assert exposure_loss(flat, flat, flat) == pytest.approx(0, abs=1e-3)


def test_mef_ssim_wants_the_higher_contrast_of_two_that_agree():
    image = texture(1)
    losses = [float(exposure_loss(scale * image, 0.2 * image, image)) for scale in (0.2, 0.6, 1.0, 1.4)]
    assert losses[2] == min(losses) == pytest.approx(0, abs=1e-3)


def test_mef_ssim_has_a_gradient_where_nothing_is_to_be_seen():
    fused = torch.zeros(2, 1, 40, 48, requires_grad=True)
    exposure_loss(fused, torch.zeros(2, 1, 40, 48), texture(2)).backward()
    assert torch.isfinite(fused.grad).all()


def test_each_place_is_sharp_in_one_of_two_focal_planes():
    image = torch.rand((3, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    first, second = two_focal_planes(image, torch.Generator().manual_seed(1))
    error = torch.minimum((first - image).abs(), (second - image).abs()).mean((1, 2, 3))
    blurred = torch.maximum((first - image).abs(), (second - image).abs()).mean((1, 2, 3))
    assert (error < 0.2 * blurred).all()
    assert ((first - image).abs().mean((1, 2, 3)) > 0.05 * blurred).all(), "both are blurred somewhere"
    assert ((second - image).abs().mean((1, 2, 3)) > 0.05 * blurred).all()


@pytest.fixture
def method_config(config, monkeypatch):
    """A run of seconds of a method."""
    monkeypatch.setattr("vi_fusion_ros.training.methods.task._SELECTION_STEPS", 1)
    return lambda name, **changed: dataclasses.replace(
        config, **{"name": name, "method": name, "scenes": SceneConfig(frames=0), **changed}
    )


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_run_gives_a_file_that_the_method_takes(method_config, tmp_path, name, capsys):
    last = train(method_config(name, patches=PatchConfig(patches=1, size=64))).last
    assert main(["export", str(last), "-o", f"{tmp_path}/{name}.onnx"]) == 0
    manifest = json.loads((tmp_path / f"{name}.json").read_text())
    assert manifest["method"] == name
    assert manifest["model_id"] in capsys.readouterr().out
    assert manifest["training"]["epochs"] == 2
    assert manifest["training"]["splits"]["street"]["train"] == [[1, 9]]
    card = (tmp_path / f"{name}.md").read_text()
    assert manifest["model_id"] in card
    assert "| street | 1–9 | 9–17 | 17–25 |" in card
    entry = method(name).with_weights(tmp_path / f"{name}.onnx")
    assert "own weights" in entry.faithful
    parameters = manifest["metrics"]["parameters"]
    if name == "fusiondn":
        assert (tmp_path / f"{name}.onnx").stat().st_size < 2.1 * parameters, "two bytes a weight"
    rng = np.random.default_rng(0)
    assert entry.fuse(*rng.integers(0, 256, (2, 40, 56), np.uint8)).shape == (40, 56)


def test_a_run_repeats_itself(method_config, tmp_path):
    runs = [train(method_config("deepfuse", runs=tmp_path / folder)) for folder in "ab"]
    assert runs[0].score == runs[1].score


def test_methods_that_are_not_trained_here_are_one_sentence(method_config):
    with pytest.raises(ValueError, match="method is 'gtf'; expected one that is trained here: cnn, ifcnn, deepfuse, "):
        train(method_config("gtf"))
    with pytest.raises(ValueError, match="patches is 0; expected some: a method's network is trained on patches"):
        train(method_config("deepfuse", patches=PatchConfig(patches=0)))


@pytest.mark.parametrize("name", list(RECIPES))
def test_the_recipes_take_training_parts_of_pairs_alone(repo_root, name):
    config = load_config(repo_root / "config" / "training" / "methods" / f"{name}.yaml")
    ours = load_config(repo_root / "config" / "training" / "default.yaml").data.sets
    assert config.method == name
    assert set(config.data.sets) == {"roadscene", "msrs", "m3svd"}
    for set_name, entry in config.data.sets.items():
        assert entry == dataclasses.replace(ours[set_name], pseudo_boxes=False), (
            "the parts that our model was trained on, too"
        )
    assert config.data.crops is None
    assert config.scenes.frames == 0
    assert not any(dataclasses.asdict(config.augmentation).values())
