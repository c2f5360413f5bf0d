"""The network: shapes at any size, cost, folding."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")

from torch import nn  # noqa: E402

from vi_fusion_ros.model.cost import measure_cost  # noqa: E402
from vi_fusion_ros.model.layers import ConvNormReLU, RepConv  # noqa: E402
from vi_fusion_ros.model.network import FusionNet, NetworkConfig, luma  # noqa: E402


def pair(height, width, count=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.rand(count, c, height, width, generator=generator) for c in (3, 1))


def shaken(module):
    """Give BatchNorm statistics that matter, so that a fold that forgets them is seen."""
    generator = torch.Generator().manual_seed(1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor, low in ((part.running_mean, -0.5), (part.running_var, 0.5), (part.weight.data, 0.5)):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + low)
    return module.eval()


@pytest.mark.parametrize("head", ["dense", "pooled"])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (48, 48), (96, 160), (240, 320)])
def test_outputs_have_the_size_of_the_inputs(head, height, width):
    network = FusionNet(NetworkConfig(classes=4, head=head)).eval()
    with torch.no_grad():
        output = network(*pair(height, width, 2))
    assert output.fused.shape == output.attention.shape == (2, 1, height, width)
    assert output.logits.shape == (2, 4)
    assert output.illumination.shape == (2, 2)
    assert output.fused.min() >= 0
    assert output.fused.max() <= 1


def test_unknown_head_is_refused():
    with pytest.raises(ValueError, match="'dense' or 'pooled'"):
        NetworkConfig(head="other")


def test_cost_is_within_the_budget_of_a_robot():
    cost = measure_cost(FusionNet())
    assert cost.parameters <= 250_000
    assert cost.gmac <= 2.3


@pytest.mark.parametrize(
    "block", [RepConv(8, 8), RepConv(8, 16), RepConv(8, 8, 2), ConvNormReLU(8, 16, 8, 4, 2), ConvNormReLU(8, 4, 1)]
)
def test_a_folded_block_is_one_plain_convolution_of_the_same_function(block):
    shaken(block)
    folded = block.fold()
    assert [type(part) for part in folded] == [nn.Conv2d, nn.ReLU]
    x = torch.randn(2, 8, 24, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(folded(x), block(x), atol=1e-5, rtol=1e-5)


def test_the_folded_network_has_the_same_outputs_and_no_batch_norm():
    network = shaken(FusionNet())
    folded = network.folded()
    assert not any(isinstance(part, (nn.BatchNorm2d, RepConv, ConvNormReLU)) for part in folded.modules())
    with torch.no_grad():
        for expected, got in zip(network(*pair(64, 96)), folded(*pair(64, 96)), strict=True):
            torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_a_new_network_fuses_to_about_the_mean_of_both():
    visible, thermal = pair(64, 64)
    network = FusionNet().eval()
    with torch.no_grad():
        output = network(visible, thermal)
    grey = luma(visible)
    assert (output.fused - (grey + thermal) / 2).abs().max() < 0.1


def test_black_inputs_give_finite_outputs():
    visible, thermal = pair(48, 48)
    network = FusionNet().eval()
    with torch.no_grad():
        for v, t in ((visible * 0, thermal), (visible, thermal * 0), (visible * 0, thermal * 0)):
            assert all(torch.isfinite(x).all() for x in network(v, t))
