"""What the networks of the methods learn by.

Images are (N, C, H, W) float32, 0 to 1; every loss is a mean, lower is better.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_WINDOW, _STRIDE = 8, 2  # pixels; every second window in each direction: the same mean for a quarter of the time
_C = 9e-4
_POWER = 4.0
_EPS = 1e-8


def exposure_loss(fused: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """1 minus MEF-SSIM without its luminance, of one channel each.

    Prabhakar et al. (ICCV 2017, section 3.2), after Ma, Zeng, Wang, "Perceptual Quality Assessment for Multi-Exposure
    Image Fusion", IEEE TIP 24(11), 2015: what is wished for in a window has the contrast of the source of higher
    contrast, and the structure of both, weighted by the fourth power of their contrasts.
    """
    planes = torch.cat((fused, first, second), 1)
    f, a, b = planes.split(1, 1)
    moments = functional.avg_pool2d(torch.cat((planes, planes**2, a * b, f * a, f * b), 1), _WINDOW, _STRIDE)
    mean_f, mean_a, mean_b, ff, aa, bb, ab, fa, fb = moments.split(1, 1)
    var_f, var_a, var_b = ((x - mean**2).clamp_min(0) for x, mean in ((ff, mean_f), (aa, mean_a), (bb, mean_b)))
    cov_ab, cov_fa, cov_fb = ab - mean_a * mean_b, fa - mean_f * mean_a, fb - mean_f * mean_b
    # The wished window is share_a times the one of ``first``, plus share_b times the one of ``second``, means removed.
    share_a, share_b = ((var + _EPS) ** ((_POWER - 1) / 2) for var in (var_a, var_b))
    spread = (share_a**2 * var_a + share_b**2 * var_b + 2 * share_a * share_b * cov_ab).clamp_min(0).sqrt()
    scale = torch.maximum(var_a, var_b).sqrt() / (spread + _EPS * (share_a + share_b))
    covariance = scale * (share_a * cov_fa + share_b * cov_fb)
    score = (2 * covariance + _C) / (torch.maximum(var_a, var_b) + var_f + _C)
    return 1 - score.mean()


def two_focal_planes(image: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each image twice: blurred here in the one, there in the other; blobs and strength of the blur are drawn.

    Zhang et al. (2020, section 4.1) have depth maps say where; there are none here.
    """
    draw = torch.rand((len(image), 1, 4, 4), generator=generator)
    place = functional.interpolate(draw, image.shape[2:], mode="bilinear", align_corners=False)
    sharp = ((place - 0.5) * 40 + 0.5).clamp(0, 1)
    radius = 1 + int(torch.randint(8, (), generator=generator))
    # The strength is as the authors' correction of their equation 4 has it, of 2 radius + 1 pixels.
    blurred = _blurred(image, radius, 0.6 * (radius - 0.5) + 0.8)
    return sharp * image + (1 - sharp) * blurred, sharp * blurred + (1 - sharp) * image


def blurred_again(image: Tensor, generator: torch.Generator) -> Tensor:
    """Each image after one to five times the same blur; how often is drawn for the batch.

    Liu et al. (2017, section 3.2): 7×7 pixels, standard deviation 2.
    """
    for _ in range(1 + int(torch.randint(5, (), generator=generator))):
        image = _blurred(image, 3, 2.0)
    return image


def _blurred(image: Tensor, radius: int, sigma: float) -> Tensor:
    return gaussian(functional.pad(image, (radius,) * 4, "replicate"), radius, sigma)


def gaussian(image: Tensor, radius: int, sigma: float) -> Tensor:
    """Each channel smoothed by a Gaussian of 2 radius + 1 pixels where it lies inside: (N, C, H - 2 radius, W - …)."""
    axis = torch.arange(-radius, radius + 1, dtype=image.dtype)
    taps = torch.exp(-0.5 * (axis / sigma) ** 2)
    taps = (taps / taps.sum()).expand(image.shape[1], 1, 1, -1)
    across = functional.conv2d(image, taps, groups=image.shape[1])
    return functional.conv2d(across, taps.transpose(2, 3), groups=image.shape[1])
