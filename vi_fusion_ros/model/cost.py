"""What a network costs: parameters and multiply-accumulates after folding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vi_fusion_ros.model.network import FusionNet


@dataclass(frozen=True)
class Cost:
    """Cost of the deployed network.

    Attributes:
        parameters: count after folding.
        gmac: multiply-accumulates of convolutions and matrix products for one frame, 10⁹.
    """

    parameters: int
    gmac: float


@torch.no_grad()
def measure_cost(network: FusionNet, height: int = 480, width: int = 640) -> Cost:
    """Fold ``network`` and count, on a frame of ``height`` × ``width`` pixels."""
    folded = network.folded()
    total = 0

    def count(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = module.weight
        assert isinstance(weight, Tensor)
        places = output[0, 0].numel() if isinstance(module, nn.Conv2d) else 1
        total += weight.numel() * places

    for module in folded.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    folded(torch.zeros(1, 3, height, width), torch.zeros(1, 1, height, width))
    # The fixed luma weights are a convolution too.
    total += 3 * height * width
    return Cost(sum(p.numel() for p in folded.parameters()), total / 1e9)
