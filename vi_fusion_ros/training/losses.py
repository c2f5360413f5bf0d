"""Losses of the fused image: what a good one is.

All images are (N, 1, H, W) float32 luma in 0 to 1. Every image term is a mean over the batch, lower is better, and
takes ``fused, visible, thermal`` in this order.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_EPS = 1e-6


@dataclass(frozen=True)
class FusionWeights:
    """Weights of the terms of the fusion loss; 0 leaves a term out.

    Intensity and gradient hold the image to what is there in *both* sources. With less of them (1 and 2) SCD, VIF, Qabf
    and SSIM all rise, and the fused image becomes a copy of the thermal one: those metrics alone are no goal.
    """

    intensity: float = 3.0
    gradient: float = 3.0
    ssim: float = 0.6
    contrast: float = 0.8
    fidelity: float = 0.3
    edges: float = 0.5
    spread: float = 0.3
    residual: float = 0.5
    one_sided: float = 1.0
    smooth_attention: float = 0.005


def fusion_loss(
    fused: Tensor, attention: Tensor, visible: Tensor, thermal: Tensor, both: Tensor, weights: FusionWeights
) -> dict[str, Tensor]:
    """The weighted terms of the fusion loss.

    Args:
        fused: the network's luma.
        attention: its thermal share.
        visible: luma that the fused image should resemble (without the noise added to the input).
        thermal: thermal image that it should resemble.
        both: (N,) bool, whether both modalities are there; the contrast terms need both.
        weights: of the terms.

    Returns:
        One scalar per term, already weighted; their sum is the loss.
    """
    terms = {
        "intensity": weights.intensity * intensity_loss(fused, visible, thermal),
        "gradient": weights.gradient * gradient_loss(fused, visible, thermal),
        "residual": weights.residual * residual_loss(fused, attention, visible, thermal),
        "smooth_attention": weights.smooth_attention * _total_variation(attention),
    }
    if bool(both.any()):
        pair = fused[both], visible[both], thermal[both]
        for name, term in (
            ("ssim", ssim_loss),
            ("contrast", difference_correlation_loss),
            ("fidelity", information_loss),
            ("edges", edge_transfer_loss),
            ("spread", spread_loss),
            ("one_sided", one_sided_loss),
        ):
            if getattr(weights, name):
                terms[name] = getattr(weights, name) * term(*pair)
    return terms


def intensity_loss(fused: Tensor, visible: Tensor, thermal: Tensor) -> Tensor:
    """L1 distance to the brighter of both sources, pixel by pixel."""
    return functional.l1_loss(fused, torch.maximum(visible, thermal))


def residual_loss(fused: Tensor, attention: Tensor, visible: Tensor, thermal: Tensor) -> Tensor:
    """L1 distance to the blend that the attention map describes, so that the map means what it says."""
    return functional.l1_loss(fused, visible + attention * (thermal - visible))


def gradient_loss(fused: Tensor, visible: Tensor, thermal: Tensor) -> Tensor:
    """L1 distance of the signed Sobel gradient to that of the source where it is stronger, in each direction."""
    grad_v, grad_t = sobel(visible), sobel(thermal)
    target = torch.where(grad_v.abs() >= grad_t.abs(), grad_v, grad_t)
    return functional.l1_loss(sobel(fused), target)


def ssim_loss(fused: Tensor, visible: Tensor, thermal: Tensor) -> Tensor:
    """2 minus the SSIM to both sources; 7×7 uniform window, constants near zero as in DESIGN.md's convention."""
    return 2 - _ssim(fused, visible) - _ssim(fused, thermal)


def difference_correlation_loss(fused: Tensor, visible: Tensor, thermal: Tensor) -> Tensor:
    """2 minus SCD (Aslantas and Bendes 2015): what was added to one source should correlate with the other one."""
    return 2 - (_correlation(fused - thermal, visible) + _correlation(fused - visible, thermal)).mean()


def information_loss(fused: Tensor, visible: Tensor, thermal: Tensor) -> Tensor:
    """2 minus the visual information fidelity (vifp, Sheikh and Bovik 2006) with respect to both sources."""
    return 2 - (_vifp(visible, fused) + _vifp(thermal, fused)).mean()


def edge_transfer_loss(fused: Tensor, visible: Tensor, thermal: Tensor) -> Tensor:
    """1 minus Qabf (Xydeas and Petrovic 2000): edge strength and direction carried over from both sources."""
    grad_f = sobel(fused)
    strength_f = _norm(grad_f)
    kept, weight = torch.zeros_like(fused), torch.zeros_like(fused)
    for source in (visible, thermal):
        grad = sobel(source)
        strength = _norm(grad)
        ratio = torch.minimum(strength_f, strength) / torch.maximum(strength_f, strength)
        # |sin Δ| for the angle Δ between the edges: the same as Δ where the sigmoid below is not yet flat.
        turned = (grad_f[:, :1] * grad[:, 1:] - grad_f[:, 1:] * grad[:, :1]).abs() / (strength_f * strength)
        aligned = 1 - turned * (2 / torch.pi)
        quality = 0.9994 / (1 + torch.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + torch.exp(-22 * (aligned - 0.8)))
        kept = kept + quality * strength
        weight = weight + strength
    return 1 - (kept.sum((1, 2, 3)) / weight.sum((1, 2, 3))).mean()


def spread_loss(fused: Tensor, visible: Tensor, thermal: Tensor) -> Tensor:
    """How far the standard deviation of the fused image stays below that of the stronger source."""
    goal = torch.maximum(_deviation(visible), _deviation(thermal))
    return functional.relu(goal - _deviation(fused)).mean() * 4


def one_sided_loss(fused: Tensor, visible: Tensor, thermal: Tensor) -> Tensor:
    """1 minus the structure kept where one source alone has some, mean of both ways (``metrics.one_sided_structure``).

    In windows where one source has structure and the other has next to none, the structure term of SSIM between the
    fused image and that source: what a person in bright smoke, or a sign on a wall of even temperature, is made of.
    """
    moments = functional.avg_pool2d(
        torch.cat((fused, visible, thermal, fused**2, visible**2, thermal**2, fused * visible, fused * thermal), 1),
        7,
        2,
    )
    f, v, t, ff, vv, tt, fv, ft = moments.split(1, 1)
    var_f, var_v, var_t = (square - mean**2 for square, mean in ((ff, f), (vv, v), (tt, t)))
    losses = []
    for var, cov, other in ((var_v, fv - f * v, var_t), (var_t, ft - f * t, var_v)):
        alone = torch.sigmoid((var.clamp_min(1e-8).sqrt() - 10 / 255) * 400) * torch.sigmoid(
            (5 / 255 - other.clamp_min(1e-8).sqrt()) * 400
        )
        structure = (cov + 1e-5) / ((var_f.clamp_min(0) * var.clamp_min(0) + 1e-10).sqrt() + 1e-5)
        losses.append(((1 - structure) * alone).sum() / alone.sum().clamp_min(1.0))
    return torch.stack(losses).mean()


def sobel(image: Tensor) -> Tensor:
    """Horizontal and vertical Sobel derivatives divided by 4, (N, 2, H, W); edges replicated."""
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], device=image.device) / 4
    kernel = torch.stack((across, across.T))[:, None].to(image.dtype)
    return functional.conv2d(functional.pad(image, (1, 1, 1, 1), mode="replicate"), kernel)


def _norm(gradient: Tensor) -> Tensor:
    """Length of each gradient, (N, 1, H, W); never quite 0, so that flat ground has finite derivatives."""
    return torch.sqrt((gradient**2).sum(1, keepdim=True) + 1e-6)


def _ssim(a: Tensor, b: Tensor, c1: float = 1e-6, c2: float = 1e-5) -> Tensor:
    # Every second window in each direction: the same mean for a quarter of the time.
    moments = functional.avg_pool2d(torch.cat((a, b, a * a, b * b, a * b), 1), 7, 2)
    mean_a, mean_b = moments[:, 0], moments[:, 1]
    var_a, var_b = moments[:, 2] - mean_a**2, moments[:, 3] - mean_b**2
    cov = moments[:, 4] - mean_a * mean_b
    value = (2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return value.mean()


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    a = a - a.mean((1, 2, 3), keepdim=True)
    b = b - b.mean((1, 2, 3), keepdim=True)
    spread = torch.sqrt((a * a).sum((1, 2, 3)) * (b * b).sum((1, 2, 3)) + _EPS)
    return (a * b).sum((1, 2, 3)) / spread


def _deviation(image: Tensor) -> Tensor:
    return torch.sqrt(image.var((1, 2, 3), correction=0) + _EPS)


def _total_variation(image: Tensor) -> Tensor:
    return image.diff(dim=2).abs().mean() + image.diff(dim=3).abs().mean()


def _gauss(size: int, like: Tensor) -> Tensor:
    axis = torch.arange(size, device=like.device, dtype=like.dtype) - (size - 1) / 2
    window = torch.exp(-0.5 * (axis * 5 / size) ** 2)
    return window / window.sum()


def _blur(image: Tensor, window: Tensor, stride: int = 1) -> Tensor:
    """Separable filter without padding, every ``stride``-th window in each direction."""
    planes = image.shape[1]
    kernel = window.expand(planes, 1, 1, -1)
    across = functional.conv2d(image, kernel, stride=(1, stride), groups=planes)
    return functional.conv2d(across, kernel.transpose(2, 3), stride=(stride, 1), groups=planes)


def _vifp(reference: Tensor, image: Tensor, noise: float = 2.0 / 255**2) -> Tensor:
    """Pixel-domain VIF over four scales, (N,); the windows of the two finer scales are sampled, not all taken."""
    gained, total = torch.zeros_like(reference[:, 0, 0, 0]), torch.zeros_like(reference[:, 0, 0, 0])
    for size, stride in ((17, 4), (9, 2), (5, 1), (3, 1)):
        window = _gauss(size, image)
        if size != 17:
            reference, image = _blur(reference, window, 2), _blur(image, window, 2)
        moments = _blur(torch.cat((reference, image, reference**2, image**2, reference * image), 1), window, stride)
        mean_r, mean_i = moments[:, 0], moments[:, 1]
        var_r = (moments[:, 2] - mean_r**2).clamp_min(0)
        var_i = (moments[:, 3] - mean_i**2).clamp_min(0)
        cov = moments[:, 4] - mean_r * mean_i
        gain = (cov / (var_r + 1e-6)).clamp_min(0)
        rest = (var_i - gain * cov).clamp_min(1e-10)
        gained = gained + stride**2 * torch.log1p(gain**2 * var_r / (rest + noise)).sum((1, 2))
        total = total + stride**2 * torch.log1p(var_r / noise).sum((1, 2))
    return gained / total.clamp_min(_EPS)
