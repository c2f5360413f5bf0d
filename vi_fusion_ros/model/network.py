"""The dual-branch network: one part fuses, the other says what is there. They share their inputs and no weight.

    visible (N, 3, H, W), thermal (N, 1, H, W)
      ├─ FusionDecoder (decoder.py), full resolution ──> fused luma, attention
      └─ in view, halved ─> PerceptionNet (perception.py) ──> presence, illumination, objects

Each part has two branches and cross-modal attention of its own: what makes a good picture lies in a few pixels, what
tells a bicycle lies in features that 1.2 million photographs have taught. So neither pays for the other, and each can
be trained alone.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from vi_fusion_ros.model.branches import BACKBONES
from vi_fusion_ros.model.decoder import LUMA, FusionDecoder, luma
from vi_fusion_ros.model.layers import fold_all
from vi_fusion_ros.model.perception import PYRAMID, STRIDE, Perception, PerceptionNet

__all__ = [
    "LUMA", "SIZE_MULTIPLE", "STRIDE", "VIEW_SIDE", "FusionNet", "FusionOutput", "NetworkConfig", "halved", "in_view",
    "luma",
]  # fmt: skip

SIZE_MULTIPLE = 32
"""Height and width of the inputs must be multiples of this."""

VIEW_SIDE = 640
"""Longer side of what the perception part is given, before it is halved, pixels: that of the frames it learned from."""

CROP_SIDE = 128
"""Longer side of an image that shows one object rather than a scene, pixels; up to it nothing is enlarged."""


class FusionOutput(NamedTuple):
    """What the network returns.

    Attributes:
        fused: (N, 1, H, W) luma, 0 to 1.
        attention: (N, 1, H, W) thermal share w of each pixel, 0 to 1.
        logits: (N, C) raw multi-label presence scores, before calibration and sigmoid.
        illumination: (N, 2) raw scores of the illumination classes, before softmax.
        objects: (N, 5 C, h, w): raw scores of centres, then the sides of boxes in eighths of a place; a place stands
            for W/w by H/h pixels of the inputs, 8 by 8 where ``in_view`` leaves them as they are.
    """

    fused: Tensor
    attention: Tensor
    logits: Tensor
    illumination: Tensor
    objects: Tensor


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network.

    Attributes:
        classes: number of labels C.
        branch: channels of each camera's branch of the fusion decoder.
        blocks: RepConvs in each of them.
        fused: channels after fusion.
        backbone: of perception: ``centernet-mobilenetv3``, or ``csp-darknet-tiny`` or ``efficientnet-lite0``, which
            are right less often in new places.
        hidden: share of the channels inside the blocks of the backbone that are kept, above 0, at most 1.
        pyramid: channels of the feature pyramid of perception, the finest first.
        view: longer side of what perception is given, before it is halved, pixels: 640, that of the frames it learned
            from, or another from half to twice of that, in steps of ``SIZE_MULTIPLE``, above 640 of twice that. Above
            640 nothing is halved: frames are brought to half of ``view``, and 1280 sees every pixel of one of 640.
        together: whether one pass of perception's backbone sees the mean of both images, rather than one each camera's
            own; not of ``efficientnet-lite0``, which has one for each.
    """

    classes: int = 3
    branch: int = 32
    blocks: int = 1
    fused: int = 32
    backbone: str = "csp-darknet-tiny"
    hidden: float = 1.0
    pyramid: tuple[int, ...] = PYRAMID
    view: int = VIEW_SIDE
    together: bool = False

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise ValueError(f"network.backbone is {self.backbone!r}; expected one of {', '.join(BACKBONES)}")
        if not 0 < self.hidden <= 1:
            raise ValueError(f"network.hidden is {self.hidden}; expected a share above 0 and at most 1")
        if len(self.pyramid) != len(PYRAMID) or min(self.pyramid) < 1:
            raise ValueError(f"network.pyramid is {self.pyramid}; expected {len(PYRAMID)} numbers of channels")
        step = SIZE_MULTIPLE if self.view <= VIEW_SIDE else 2 * SIZE_MULTIPLE
        if not VIEW_SIDE // 2 <= self.view <= 2 * VIEW_SIDE or self.view % step:
            span = f"a multiple of {step} from {VIEW_SIDE // 2} to {2 * VIEW_SIDE}"
            raise ValueError(f"network.view is {self.view}; expected {span}")
        if self.together and self.backbone == "efficientnet-lite0":
            raise ValueError("network.together needs a backbone that serves both cameras; efficientnet-lite0 does not")
        if self.hidden < 1 and self.backbone == "centernet-mobilenetv3":
            raise ValueError(f"network.hidden is {self.hidden}; expected 1 for the backbone centernet-mobilenetv3")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints."""
        return asdict(self)


class FusionNet(nn.Module):
    """The network drawn at the top of this file.

    Args:
        config: its sizes.
    """

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        self.fusion = FusionDecoder(config.branch, config.blocks, config.fused)
        self.perception = PerceptionNet(config.classes, config.backbone, config.hidden, config.pyramid, config.together)

    def forward(self, visible: Tensor, thermal: Tensor) -> FusionOutput:
        """Fuse and classify.

        Args:
            visible: (N, 3, H, W) float32 RGB, 0 to 1; zeros where the camera is missing.
            thermal: (N, 1, H, W) float32, 0 to 1, registered to ``visible``; zeros where the camera is missing.

        Returns:
            FusionOutput. H and W must be multiples of ``SIZE_MULTIPLE``.
        """
        fused, attention = self.fusion(visible, thermal)
        seen = self.perceive(visible, thermal)
        return FusionOutput(fused, attention, seen.logits, seen.illumination, seen.objects)

    def perceive(self, visible: Tensor, thermal: Tensor) -> Perception:
        """What is in the scene, without the fused image; arguments as in ``forward``."""
        view = self.config.view
        if view > VIEW_SIDE:
            return self.perception(in_view(visible, view // 2), in_view(thermal, view // 2))
        return self.perception(halved(in_view(visible, view)), halved(in_view(thermal, view)))

    def of_usual_view(self, image: Tensor, resolution: float = 0.5) -> Tensor:
        """What ``perception`` is given of a frame whose longer side is ``VIEW_SIDE`` where it is whole.

        Args:
            image: (N, C, h, w), the frame or a part of it, at ``resolution``.
            resolution: its pixels for each of the frame, 1 or 0.5.

        Returns:
            The image as it is where that is the network's own resolution; smaller for a smaller view: halved, then
            bilinear, each side the nearest multiple of half of ``SIZE_MULTIPLE``.
        """
        share, step = self.config.view / VIEW_SIDE / 2 / resolution, SIZE_MULTIPLE // 2
        if share <= 0.5:
            image, share = halved(image), 2 * share
        if share == 1:
            return image
        sides = [max(round(side * share / step), 1) * step for side in image.shape[2:]]
        return functional.interpolate(image, size=sides, mode="bilinear", align_corners=False)

    def folded(self) -> FusionNet:
        """A copy in eval mode made of plain convolutions only; same outputs up to rounding."""
        network = copy.deepcopy(self).eval()
        fold_all(network)
        return network


def in_view(image: Tensor, view: int = VIEW_SIDE) -> Tensor:
    """A frame at the size at which the perception part has learned how large things are.

    An object of a frame of 1280×960 is twice as many pixels wide as in one of 640×480, and was never seen like that:
    presence falls there (docs/model.md). So each frame is brought to a longer side of ``view``. Below half of
    that the enlargement falls from twice to none at ``CROP_SIDE``: the longer side L becomes 3 L - 2 ``CROP_SIDE``.
    It also makes the cost of this part the same for any camera.

    Args:
        image: (N, C, H, W), H and W multiples of ``SIZE_MULTIPLE``.
        view: longer side, pixels.

    Returns:
        (N, C, H', W'), bilinear, each side the nearest multiple of ``SIZE_MULTIPLE``.
    """
    height, width = image.shape[2:]
    longer = _larger(height, width)
    wanted = _smaller(view, _larger(longer, 3 * longer - 2 * CROP_SIDE))
    step = SIZE_MULTIPLE * longer
    sides = [SIZE_MULTIPLE * _larger(1, (side * wanted + step // 2) // step) for side in (height, width)]
    return functional.interpolate(image, size=sides, mode="bilinear", align_corners=False)


def _larger(first: int, second: int) -> int:
    # max() would become a constant in the exported graph: there, sides are results of operators.
    return (first + second + abs(first - second)) // 2


def _smaller(first: int, second: int) -> int:
    return (first + second - abs(first - second)) // 2


def halved(image: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, H/2, W/2): means of 2×2 pixels."""
    return functional.avg_pool2d(image, 2)
