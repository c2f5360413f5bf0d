"""The dual-branch network: one part fuses, the other says what is there. They share their inputs and no weight.

    visible (N, 3, H, W), thermal (N, 1, H, W)
      ├─ FusionDecoder (decoder.py), full resolution ──> fused luma, attention
      └─ halved ─> PerceptionNet (perception.py) ──────> presence, illumination, objects

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

from vi_fusion_ros.model.decoder import LUMA, FusionDecoder, luma
from vi_fusion_ros.model.layers import fold_all
from vi_fusion_ros.model.perception import STRIDE, PerceptionNet

__all__ = ["LUMA", "SIZE_MULTIPLE", "STRIDE", "FusionNet", "FusionOutput", "NetworkConfig", "halved", "luma"]

SIZE_MULTIPLE = 32
"""Height and width of the inputs must be multiples of this."""


class FusionOutput(NamedTuple):
    """What the network returns.

    Attributes:
        fused: (N, 1, H, W) luma, 0 to 1.
        attention: (N, 1, H, W) thermal share w of each pixel, 0 to 1.
        logits: (N, C) raw multi-label presence scores, before calibration and sigmoid.
        illumination: (N, 2) raw scores of the illumination classes, before softmax.
        objects: (N, 5 C, H/8, W/8): raw scores of centres, then the sides of boxes (``perception.Perception``).
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
    """

    classes: int = 3
    branch: int = 32
    blocks: int = 1
    fused: int = 32

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
        self.perception = PerceptionNet(config.classes)

    def forward(self, visible: Tensor, thermal: Tensor) -> FusionOutput:
        """Fuse and classify.

        Args:
            visible: (N, 3, H, W) float32 RGB, 0 to 1; zeros where the camera is missing.
            thermal: (N, 1, H, W) float32, 0 to 1, registered to ``visible``; zeros where the camera is missing.

        Returns:
            FusionOutput. H and W must be multiples of ``SIZE_MULTIPLE``.
        """
        fused, attention = self.fusion(visible, thermal)
        seen = self.perception(halved(visible), halved(thermal))
        return FusionOutput(fused, attention, seen.logits, seen.illumination, seen.objects)

    def folded(self) -> FusionNet:
        """A copy in eval mode made of plain convolutions only; same outputs up to rounding."""
        network = copy.deepcopy(self).eval()
        fold_all(network)
        return network


def halved(image: Tensor) -> Tensor:
    """(N, C, H, W) to (N, C, H/2, W/2): means of 2×2 pixels."""
    return functional.avg_pool2d(image, 2)
