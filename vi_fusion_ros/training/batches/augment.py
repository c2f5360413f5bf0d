"""What goes wrong with cameras, as augmentation of batches. Every random draw comes from the generator passed in.

Images are float32 in 0 to 1: visible (N, 3, H, W) RGB, thermal (N, 1, H, W). Functions return new tensors.

*Appearance* (exposure, haze, thermal contrast and polarity) is a property of the scene: the fused image should show
it, so it changes the fusion targets too. *Faults* (noise, blur, stripes, dead pixels, a missing camera) change the
inputs only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn import functional


@dataclass(frozen=True)
class AugmentConfig:
    """Probabilities per image, 0 to 1.

    Attributes:
        low_light: visible darkened to 4 to 50 %.
        exposure: visible brightened or darkened by up to one stop, past white.
        haze: visible veiled.
        contrast: thermal contrast and brightness changed.
        polarity: thermal inverted (black-hot).
        noise: sensor noise on both; more of it where it is dark.
        blur: either image blurred a little.
        smear: visible blurred over up to 9 pixels, along a direction or all round, as at night or in motion.
        cast: visible with the colour and the low contrast of street lamps.
        stripes: thermal column noise.
        dead: dead thermal pixels.
        missing_visible: the visible image is missing.
        missing_thermal: the thermal image is missing (never both). More often: where both are there, the warm objects
            are told by the thermal image, and the visible branch would learn little.
    """

    low_light: float = 0.2
    exposure: float = 0.3
    haze: float = 0.08
    contrast: float = 0.5
    polarity: float = 0.05
    noise: float = 0.25
    blur: float = 0.1
    smear: float = 0.15
    cast: float = 0.2
    stripes: float = 0.08
    dead: float = 0.05
    missing_visible: float = 0.15
    missing_thermal: float = 0.3


class Augmented(NamedTuple):
    """A batch after augmentation.

    Attributes:
        visible: input of the network.
        thermal: input of the network.
        clean_visible: appearance without faults, zeros where missing: what fusion should show.
        clean_thermal: the same for thermal.
        both: (N,) bool, both modalities are there.
        darkened: (N,) bool, low light was simulated, so the illumination label no longer holds.
        dark: (N,) bool, so little light was left that it counts as night.
    """

    visible: Tensor
    thermal: Tensor
    clean_visible: Tensor
    clean_thermal: Tensor
    both: Tensor
    darkened: Tensor
    dark: Tensor


def augment(visible: Tensor, thermal: Tensor, config: AugmentConfig, generator: Generator) -> Augmented:
    """Apply every augmentation with its probability."""
    draw = _Draw(generator, len(visible))
    darkened = draw.coin(config.low_light)
    light = draw.uniform(0.04, 0.5)
    dark = darkened & (light.flatten() < 0.2)
    visible = torch.where(_per_image(darkened), visible * light, visible)
    visible = draw.where(config.exposure, (visible * 2 ** draw.uniform(-1, 1) + draw.uniform(-0.05, 0.1)), visible)
    veil = draw.uniform(0.2, 0.8)
    visible = draw.where(config.cast, _cast(visible, draw), visible)
    visible = draw.where(config.haze, visible * veil + draw.uniform(0.5, 0.9) * (1 - veil), visible).clamp(0, 1)
    mean = thermal.mean((1, 2, 3), keepdim=True)
    changed = (thermal - mean) * draw.uniform(0.5, 1.5) + mean + draw.uniform(-0.15, 0.15)
    thermal = draw.where(config.contrast, changed, thermal)
    thermal = draw.where(config.polarity, 1 - thermal, thermal).clamp(0, 1)

    kept_visible, kept_thermal = _keep(draw, config.missing_visible, config.missing_thermal)
    clean_visible, clean_thermal = visible * kept_visible, thermal * kept_thermal
    visible, thermal = _faults(visible, thermal, config, draw)
    both = (kept_visible * kept_thermal).flatten() > 0
    missing = _missing_image(draw, thermal)
    return Augmented(
        torch.where(kept_visible > 0, visible, missing.expand_as(visible)),
        torch.where(kept_thermal > 0, thermal, missing),
        clean_visible,
        clean_thermal,
        both,
        darkened,
        dark,
    )


def _faults(visible: Tensor, thermal: Tensor, config: AugmentConfig, draw: _Draw) -> tuple[Tensor, Tensor]:
    visible = draw.some(config.smear, visible, lambda images: _smear(images, draw))
    visible = draw.some(config.blur, visible, _blur)
    thermal = draw.some(config.blur, thermal, _blur)
    level = draw.uniform(0.005, 0.04)
    visible = draw.where(config.noise, visible + level * draw.normal(visible.shape), visible)
    thermal = draw.where(config.noise, thermal + 0.5 * level * draw.normal(thermal.shape), thermal)
    columns = (len(thermal), 1, 1, thermal.shape[3])
    thermal = draw.where(config.stripes, thermal + draw.uniform(0.005, 0.03) * draw.normal(columns), thermal)
    dead = torch.rand(thermal.shape, generator=draw.generator) < 0.003
    thermal = draw.where(config.dead, torch.where(dead, draw.uniform(0, 1).round(), thermal), thermal)
    return visible.clamp(0, 1), thermal.clamp(0, 1)


def _keep(draw: _Draw, missing_visible: float, missing_thermal: float) -> tuple[Tensor, Tensor]:
    dice = torch.rand((draw.count, 1, 1, 1), generator=draw.generator)
    return (dice >= missing_visible).float(), (dice < 1 - missing_thermal).float()


def _missing_image(draw: _Draw, like: Tensor) -> Tensor:
    """Black mostly; in one case of eight a frozen grey with noise, as from a covered camera."""
    frozen = draw.uniform(0, 0.5) + 0.03 * draw.normal(like.shape)
    return draw.where(0.125, frozen, torch.zeros_like(like)).clamp(0, 1)


def _blur(image: Tensor) -> Tensor:
    padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
    return functional.avg_pool2d(padded, 3, 1)


def _smear(image: Tensor, draw: _Draw) -> Tensor:
    """Mean over 3 to 9 pixels across, down or both; one kind for the batch."""
    kind, reach = (int(torch.randint(n, (), generator=draw.generator)) for n in (3, 4))
    across, down = (reach + 1 if kind != 1 else 0), (reach + 1 if kind != 0 else 0)
    padded = functional.pad(image, (across, across, down, down), mode="replicate")
    return functional.avg_pool2d(padded, (2 * down + 1, 2 * across + 1), 1)


def _cast(image: Tensor, draw: _Draw) -> Tensor:
    """Less contrast, and each colour brighter or darker by up to a third."""
    gain = torch.cat([draw.uniform(0.67, 1.33) for _ in range(3)], 1)
    mean = image.mean((1, 2, 3), keepdim=True)
    return ((image - mean) * draw.uniform(0.3, 1.0) + mean) * gain


def _per_image(flags: Tensor) -> Tensor:
    return flags[:, None, None, None]


class _Draw:
    """Random numbers, one per image of the batch."""

    def __init__(self, generator: Generator, count: int) -> None:
        self.generator, self.count = generator, count

    def uniform(self, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand((self.count, 1, 1, 1), generator=self.generator)

    def normal(self, shape: tuple[int, ...] | torch.Size) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def coin(self, probability: float) -> Tensor:
        return torch.rand(self.count, generator=self.generator) < probability

    def some(self, probability: float, image: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        """As ``where``, but ``change`` sees only the images that it is meant for; it is a costly one."""
        chosen = self.coin(probability)
        if not bool(chosen.any()):
            return image
        image = image.clone()
        image[chosen] = change(image[chosen])
        return image

    def where(self, probability: float, changed: Tensor, image: Tensor) -> Tensor:
        return torch.where(_per_image(self.coin(probability)), changed, image)
