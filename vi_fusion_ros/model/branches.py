"""The two branches of the perception network, on one of three pretrained backbones.

*centernet-mobilenetv3* is a whole detector that has learned to find objects, persons, cars and bicycles among them, in
118,000 photographs (COCO). It serves both cameras, and its own words count beside its features.

*csp-darknet-tiny* is the backbone of another such detector (COCO, too). One backbone serves both cameras, each with 1×1
convolutions of its own behind it.

*efficientnet-lite0* has learned to name photographs (ImageNet). Each camera has a backbone of its own, and yet it takes
less time. It is right less often in places that it has not seen (docs/model.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vi_fusion_ros.model import darknet, lite0, mobilenet
from vi_fusion_ros.model.layers import ConvNormReLU


class Seen(NamedTuple):
    """Features of both cameras at stride 4, 8 and 16 of their images, of as many channels each.

    Attributes:
        visible: the visible camera's.
        thermal: the thermal camera's.
        objects: what a detector says of either image, visible first; none where the backbone is no detector.
    """

    visible: Sequence[Tensor]
    thermal: Sequence[Tensor]
    objects: tuple[mobilenet.Detection, mobilenet.Detection] | None = None


class Lite0Branches(nn.Module):
    """EfficientNet-Lite0 for each camera.

    Args:
        hidden: share of the expanded channels that each block keeps.
    """

    channels = lite0.CHANNELS

    def __init__(self, hidden: float = 1.0) -> None:
        super().__init__()
        self.visible = lite0.Backbone(3, hidden)
        self.thermal = lite0.Backbone(1, hidden)

    def forward(self, visible: Tensor, thermal: Tensor) -> Seen:
        """Features of (N, 3, h, w) and (N, 1, h, w), 0 to 1; h and w multiples of 16."""
        return Seen(self.visible(visible), self.thermal(thermal))

    def pretrained(self) -> list[nn.Module]:
        """What starts from weights of others."""
        return [self.visible, self.thermal]

    def frozen_part(self, last_block: int) -> list[nn.Module]:
        """Both stems and the blocks up to ``last_block``, of 0 to 10; none where that is negative."""
        return [part for branch in (self.visible, self.thermal) for part in branch.frozen_part(last_block)]

    def load_pretrained(self) -> None:
        """Take ImageNet's weights.

        Raises:
            ValueError: as ``lite0.Backbone.load_imagenet``.
        """
        self.visible.load_imagenet()
        self.thermal.load_imagenet()


class DarknetBranches(nn.Module):
    """CSPDarknet53-tiny for both cameras; a thermal image enters it as a grey one.

    Args:
        hidden: share of the channels inside each stage that are kept.
        together: whether it runs once, over the mean of the images that are there, rather than once for each camera.
    """

    channels = (32, 64, 96)

    def __init__(self, hidden: float = 1.0, together: bool = False) -> None:
        super().__init__()
        self.together = together
        self.backbone = darknet.Backbone(hidden)
        self.visible, self.thermal = (_reductions(darknet.CHANNELS, self.channels) for _ in range(2))

    def forward(self, visible: Tensor, thermal: Tensor) -> Seen:
        """As ``Lite0Branches``."""
        seen, warm = _of_both(self.backbone, visible, thermal, self.together)
        return Seen(_reduced(self.visible, seen), _reduced(self.thermal, warm))

    def pretrained(self) -> list[nn.Module]:
        """What starts from weights of others."""
        return [self.backbone]

    def frozen_part(self, last_block: int) -> list[nn.Module]:
        """The stem and the stages up to ``last_block``, of 0 to 2; none where that is negative."""
        return self.backbone.frozen_part(last_block)

    def load_pretrained(self) -> None:
        """Take COCO's weights.

        Raises:
            ValueError: as ``darknet.Backbone.load_coco``.
        """
        self.backbone.load_coco()


class DetectorBranches(nn.Module):
    """CenterNet for both cameras; a thermal image enters it as a grey one.

    Args:
        hidden: 1: no channels can be left out.
        together: whether it runs once, over the mean of the images that are there, rather than once for each camera.
    """

    channels = (32, 32, 48)

    def __init__(self, hidden: float = 1.0, together: bool = False) -> None:
        super().__init__()
        assert hidden == 1, "no channels of the detector can be left out"
        self.together = together
        self.detector = mobilenet.Detector()
        self.visible, self.thermal = (_reductions(mobilenet.CHANNELS, self.channels) for _ in range(2))

    def forward(self, visible: Tensor, thermal: Tensor) -> Seen:
        """As ``Lite0Branches``."""
        objects = _of_both(self.detector, visible, thermal, self.together)
        seen, warm = ((found.fine, found.middle, found.coarse) for found in objects)
        return Seen(_reduced(self.visible, seen), _reduced(self.thermal, warm), objects)

    def pretrained(self) -> list[nn.Module]:
        """What starts from weights of others."""
        return [self.detector]

    def frozen_part(self, last_block: int) -> list[nn.Module]:
        """As ``mobilenet.Detector.frozen_part``."""
        return self.detector.frozen_part(last_block)

    def load_pretrained(self) -> None:
        """Take COCO's weights.

        Raises:
            ValueError: as ``mobilenet.Detector.load_coco``.
        """
        self.detector.load_coco()


def _reductions(given: Sequence[int], kept: Sequence[int]) -> nn.ModuleList:
    """The 1×1 convolutions of one camera behind a backbone that serves both, by stride."""
    return nn.ModuleList(ConvNormReLU(many, few, 1) for many, few in zip(given, kept, strict=True))


def _reduced(reductions: nn.ModuleList, features: Sequence[Tensor]) -> list[Tensor]:
    return [reduce(part) for reduce, part in zip(reductions, features, strict=True)]


def _of_both(backbone: nn.Module, visible: Tensor, thermal: Tensor, together: bool) -> tuple[Any, Any]:
    """What a backbone for color images makes of (N, 3, h, w) and (N, 1, h, w), or of their mean for both."""
    # One after the other, and channels repeated by cat: a batch of both would leave shapes in the exported graph
    # that builders of engines have to work out.
    grey = torch.cat((thermal, thermal, thermal), 1)
    if not together:
        return backbone(visible), backbone(grey)
    once = backbone((visible + grey) / (present(visible) + present(thermal)).clamp_min(1))
    return once, once


def present(image: Tensor) -> Tensor:
    """(N, 1, 1, 1) of the image's type: 0 where all of it is zero, which says that the camera is missing, else 1."""
    return (image.amax((1, 2, 3), keepdim=True) > 0).to(image.dtype)


BACKBONES: dict[str, type[Lite0Branches] | type[DarknetBranches] | type[DetectorBranches]] = {
    "centernet-mobilenetv3": DetectorBranches,
    "csp-darknet-tiny": DarknetBranches,
    "efficientnet-lite0": Lite0Branches,
}
"""The branches by the name in ``network.backbone``."""
