"""Training on from an exported model."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")
pytest.importorskip("onnx", reason="the training requirements are not installed")

from vi_fusion_ros.model.network import FusionNet, NetworkConfig  # noqa: E402
from vi_fusion_ros.training.checkpoints import checkpoint_weights  # noqa: E402
from vi_fusion_ros.training.release.onnx_export import export_onnx, largest_difference  # noqa: E402
from vi_fusion_ros.training.trainer import train  # noqa: E402
from vi_fusion_ros.training.warm_start import start_from  # noqa: E402

SMALL = NetworkConfig(branch=8, fused=8, blocks=1)


@pytest.fixture
def exported(tmp_path):
    torch.manual_seed(0)
    network = FusionNet(SMALL)
    with torch.no_grad():
        for name, weight in network.named_parameters():  # as if trained: no two of them are the same
            weight.add_(0.05 * torch.randn_like(weight) * (0.1 if "sides" in name else 1))
    path = tmp_path / "model.onnx"
    export_onnx(network, path)
    return path


def pairs():
    generator = torch.Generator().manual_seed(1)
    return [tuple(torch.rand(1, c, 64, 96, generator=generator).numpy() for c in (3, 1))]


@pytest.mark.parametrize("blocks", [1, 3])
def test_a_network_begins_as_the_exported_one_and_further_blocks_as_the_identity(exported, blocks):
    torch.manual_seed(2)
    network = FusionNet(dataclasses.replace(SMALL, blocks=blocks))
    assert largest_difference(network, exported, pairs()) > 1e-2
    assert start_from(network, exported)
    assert largest_difference(network, exported, pairs()) < 1e-4


def test_every_weight_can_still_learn(exported):
    network = FusionNet(dataclasses.replace(SMALL, blocks=2))
    start_from(network, exported)
    network.eval()
    output = network(*(torch.from_numpy(x) for x in pairs()[0]))
    sum(part.mean() for part in output).backward()
    block = network.fusion.visible_branch[2]
    assert block.weight.grad.abs().max() > 0
    assert block.pointwise.grad.abs().max() > 0


def test_other_sizes_are_refused_in_one_sentence(exported):
    with pytest.raises(ValueError, match=r"model\.onnx: .* is \(8, 3, 8, 8\); expected \(12, 3, 8, 8\)"):
        start_from(FusionNet(dataclasses.replace(SMALL, branch=12)), exported)


def test_files_that_are_no_models_are_refused_in_one_sentence(exported, tmp_path):
    network = FusionNet(SMALL)
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(exported.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"cut\.onnx: "):
        start_from(network, cut)
    with pytest.raises(ValueError, match=r"none\.onnx: cannot be read"):
        start_from(network, tmp_path / "none.onnx")


def test_a_run_can_start_from_an_exported_model(config, exported):
    optim = dataclasses.replace(config.optim, epochs=1, steps=1, lr=0.0, freeze_norm=0.0)
    config = dataclasses.replace(config, start_from=exported, network=SMALL, optim=optim)
    network = FusionNet(SMALL)
    network.load_state_dict(checkpoint_weights(train(config).last)[1])
    assert largest_difference(network, exported, pairs()) < 1e-4


def test_a_run_can_start_from_a_checkpoint_and_says_what_was_trained(config):
    optim = dataclasses.replace(config.optim, epochs=1, steps=1)
    first = dataclasses.replace(config, name="first", network=SMALL, optim=optim)
    whole = train(first).last
    network = FusionNet(SMALL)
    assert start_from(network, whole)
    for name, tensor in checkpoint_weights(whole)[1].items():
        assert torch.equal(network.state_dict()[name], tensor)
    decoder = train(
        dataclasses.replace(first, name="decoder", scenes=dataclasses.replace(config.scenes, frames=0))
    ).last
    assert not start_from(network, decoder)
    with pytest.raises(ValueError, match=r"last\.ckpt: is of a network with other sizes"):
        start_from(FusionNet(dataclasses.replace(SMALL, fused=12)), whole)
