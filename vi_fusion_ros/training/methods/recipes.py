"""How the network of each method that can be trained here is made, and what it learns by."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vi_fusion_ros.methods.ifcnn import IMAGENET_MEAN, IMAGENET_SPREAD
from vi_fusion_ros.model.network import luma
from vi_fusion_ros.training.batches.augment import Augmented
from vi_fusion_ros.training.losses import FusionWeights, fusion_loss
from vi_fusion_ros.training.methods.fusiondn import TASKS, FusionDn, fusion_terms, sources
from vi_fusion_ros.training.methods.gan import GanFusion, content_loss
from vi_fusion_ros.training.methods.losses import blurred_again, exposure_loss, two_focal_planes
from vi_fusion_ros.training.methods.mlf_cnn import MlfCnn
from vi_fusion_ros.training.methods.networks import DeepFuse, Ifcnn, LiteFeatures, Siamese
from vi_fusion_ros.training.methods.swin import SwinFusion
from vi_fusion_ros.training.methods.vif_net import VifNet, mixed_loss

Losses = Callable[[nn.Module, nn.Module | None, Augmented, torch.Generator], dict[str, Tensor]]
_PERCEPTUAL = 0.1
_OURS = FusionWeights(
    intensity=6.0, gradient=4.0, contrast=0.5, fidelity=0.6, edges=0.9, one_sided=0.6, residual=0, smooth_attention=0
)
"""As in config/training/fusion.yaml, less what is about attention."""


class Recipe(NamedTuple):
    """What training a method needs.

    Attributes:
        network: makes its network.
        losses: terms of a batch, from the network, the features (None in the first half of a run) and a generator.
        perceptual: whether the second half compares ImageNet's features too.
        faithful: what the method is with these weights.
    """

    network: Callable[[], nn.Module]
    losses: Losses
    perceptual: bool
    faithful: str


def recipe_of(method: str) -> Recipe:
    """The recipe of a fusion method.

    Raises:
        ValueError: there is none; one sentence.
    """
    if method not in RECIPES:
        trained = ", ".join((*RECIPES, *DETECTORS))
        raise ValueError(f"method is {method!r}; expected one that is trained here: {trained}")
    return RECIPES[method]


def network_of(method: str) -> tuple[nn.Module, str]:
    """The network of a method that is trained here, untrained, and what the method is with weights of our own.

    Raises:
        ValueError: as ``recipe_of``.
    """
    if method in DETECTORS:
        made, faithful = DETECTORS[method]
        return made(), faithful
    recipe = recipe_of(method)
    return recipe.network(), recipe.faithful


def _cnn(
    network: nn.Module, _features: nn.Module | None, batch: Augmented, generator: torch.Generator
) -> dict[str, Tensor]:
    """Which of two visible patches is the sharp one; every second patch is it in the second place."""
    image = luma(batch.clean_visible)
    blurred = blurred_again(image, generator)
    sharp_first = (torch.arange(len(image)) % 2 == 0)[:, None, None, None]
    share = network(torch.where(sharp_first, image, blurred), torch.where(sharp_first, blurred, image))
    wanted = sharp_first.float().expand_as(share)
    return {"sharpness": nn.functional.binary_cross_entropy(share.float().clamp(1e-6, 1 - 1e-6), wanted)}


def _ifcnn(
    network: nn.Module, features: nn.Module | None, batch: Augmented, generator: torch.Generator
) -> dict[str, Tensor]:
    """Two focal planes of visible patches should give back the patch: its pixels, then its features too."""
    mean, spread = torch.from_numpy(IMAGENET_MEAN), torch.from_numpy(IMAGENET_SPREAD)
    image = batch.clean_visible
    first, second = two_focal_planes(image, generator)
    wanted = (image - mean) / spread
    fused = network((first - mean) / spread, (second - mean) / spread)
    terms = {"pixels": nn.functional.mse_loss(fused, wanted)}
    if features is not None:
        with torch.no_grad():
            goal = features(wanted)[-1]
        terms["features"] = _PERCEPTUAL * nn.functional.mse_loss(features(fused)[-1], goal)
    return terms


def _deepfuse(
    network: nn.Module, _features: nn.Module | None, batch: Augmented, _generator: torch.Generator
) -> dict[str, Tensor]:
    """MEF-SSIM of visible luma and thermal image, both in limited range as the method gives them."""
    first, second = (16 + 219 * image for image in (luma(batch.clean_visible), batch.clean_thermal))
    return {"mef_ssim": exposure_loss(network(first, second), first / 255, second / 255)}


def _vif_net(
    network: nn.Module, _features: nn.Module | None, batch: Augmented, _generator: torch.Generator
) -> dict[str, Tensor]:
    """M-SSIM and total variation of visible luma and thermal image."""
    visible, thermal = luma(batch.clean_visible), batch.clean_thermal
    return mixed_loss(network(visible, thermal).float(), visible, thermal)


def _fusiondn(
    network: nn.Module, features: nn.Module | None, batch: Augmented, generator: torch.Generator
) -> dict[str, Tensor]:
    """Its first task alone; ``consolidation`` trains all of them."""
    first, second = sources(TASKS[0], batch, generator)
    return fusion_terms(TASKS[0], network(first, second).float(), first, second, features)


def _swin(
    network: nn.Module, _features: nn.Module | None, batch: Augmented, _generator: torch.Generator
) -> dict[str, Tensor]:
    """The fusion loss of our network as one term."""
    visible, thermal = luma(batch.clean_visible), batch.clean_thermal
    fused = network(visible, thermal).float()
    terms = fusion_loss(fused, torch.zeros_like(fused), visible, thermal, batch.both, _OURS)
    return {"fusion": torch.stack(list(terms.values())).sum()}


def _gan(
    network: nn.Module, _features: nn.Module | None, batch: Augmented, _generator: torch.Generator
) -> dict[str, Tensor]:
    """What it keeps of thermal intensity and visible detail; ``adversarial`` trains against judges, too."""
    visible, thermal = luma(batch.clean_visible), batch.clean_thermal
    return {"content": content_loss(network(visible, thermal).float(), visible, thermal)}


def imagenet_features() -> nn.Module:
    """EfficientNet-Lite0, frozen, in eval mode.

    Raises:
        ValueError: its weights are not installed.
    """
    features = LiteFeatures()
    features.backbone.load_imagenet()
    return features.eval().requires_grad_(False)


RECIPES = {
    "cnn": Recipe(Siamese, _cnn, False, "published network and rule, own weights"),
    "ifcnn": Recipe(Ifcnn, _ifcnn, True, "published network, own weights"),
    "deepfuse": Recipe(DeepFuse, _deepfuse, False, "published network and loss, own weights"),
    "fusiondn": Recipe(FusionDn, _fusiondn, True, "published network and losses, own weights and quality measure"),
    "gan": Recipe(GanFusion, _gan, False, "reconstruction, own weights"),
    "swin": Recipe(SwinFusion, _swin, False, "baseline, own weights"),
    "vif-net": Recipe(VifNet, _vif_net, False, "published network and loss, own weights"),
}

DETECTORS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "mlf-cnn": (MlfCnn, "reconstruction with another backbone, own weights")
}
"""Of the methods that find objects: what makes the network, and what the method is with it; ``detection`` trains it."""
