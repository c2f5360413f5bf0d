"""Structured pruning: a network of fewer channels, made of the channels of a larger one that weigh the most.

A group is a set of channels that several layers share: those that make them and those that read them. Its channels are
ranked by the product of both sides' weights (L2 norms, as in Li et al., "Pruning Filters for Efficient ConvNets",
ICLR 2017, for both sides); each layer then keeps the rows and columns of the channels that stay.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vi_fusion_ros.model.branches import BACKBONES
from vi_fusion_ros.model.layers import ConvThenNorm, RepConv
from vi_fusion_ros.model.network import FusionNet, NetworkConfig
from vi_fusion_ros.training.config import plain
from vi_fusion_ros.training.release.derived import write_derived
from vi_fusion_ros.training.release.onnx_export import export_onnx
from vi_fusion_ros.training.warm_start import load_network

_Parts = tuple[str | int, ...]


class _Layer(NamedTuple):
    """A layer, and the groups that its output and its input consist of; a number stands for as many fixed channels."""

    name: str
    made: _Parts
    read: _Parts


def prune(model: Path, sizes: NetworkConfig, path: Path) -> dict[str, Any]:
    """Write the pruned model with manifest and card; not trained, so worse than the one it came from.

    Args:
        model: ONNX file of ``vi-fusion export``, its manifest beside it.
        sizes: of the pruned network, none of them larger.
        path: of the ONNX file to write.

    Returns:
        The manifest.

    Raises:
        ValueError: the model cannot be used, or one of the sizes is larger than the model's.
    """
    small = pruned(load_network(model), sizes)
    base = json.loads(model.with_suffix(".json").read_text(encoding="utf-8"))
    difference = export_onnx(small, path)
    training = {"config": {**base["training"]["config"], "network": plain(sizes)}}
    return write_derived(small, path, base, "pruned", difference, training, {}, base.get("novelty", {}))


@torch.no_grad()
def pruned(large: FusionNet, sizes: NetworkConfig) -> FusionNet:
    """A network of these sizes with the channels of ``large`` that weigh the most, in eval mode.

    Blocks that ``sizes`` does not have are left out. A smaller ``view`` changes no weight.

    Raises:
        ValueError: one of the sizes is larger than that of ``large``.
    """
    _require_smaller(large.config, sizes)
    small = FusionNet(sizes).eval()
    layers = list(_layers(sizes))
    whole = _counts(large, layers)
    kept = {group: _heaviest(large, layers, group, count) for group, count in _counts(small, layers).items()}
    own, given = small.state_dict(), large.state_dict()
    named = {layer.name: layer for layer in layers}
    for name, tensor in given.items():
        if name not in own:
            continue
        layer = next((named[p] for p in _prefixes(name) if p in named), None)
        if layer is not None:
            rows, columns = (_indices(parts, kept, whole) for parts in (layer.made, layer.read))
            tensor = tensor if rows is None or tensor.ndim == 0 else tensor[rows]
            # One column: a depthwise convolution, a grey input, or a scale of each row.
            tensor = tensor if columns is None or tensor.ndim < 2 or tensor.shape[1] == 1 else tensor[:, columns]
        own[name].copy_(tensor)
    return small


def _require_smaller(large: NetworkConfig, small: NetworkConfig) -> None:
    if small.classes != large.classes:
        raise ValueError(f"network.classes is {small.classes}; expected {large.classes}, as the model has")
    if small.backbone != large.backbone:
        raise ValueError(f"network.backbone is {small.backbone}; expected {large.backbone}, as the model has")
    for name in ("branch", "blocks", "fused", "hidden", "view", "pyramid"):
        wanted, there = (np.atleast_1d(getattr(config, name)) for config in (small, large))
        if (wanted > there).any():
            raise ValueError(
                f"network.{name} is {getattr(small, name)}; expected at most {getattr(large, name)}, as the model has"
            )


def _layers(sizes: NetworkConfig) -> Iterator[_Layer]:
    """Every layer that has something to lose."""
    both: _Parts = ("visible", "thermal")
    for camera in ("visible", "thermal"):
        yield _Layer(f"fusion.{camera}_branch.0", (camera,), ())
        for block in range(1, sizes.blocks + 1):
            yield _Layer(f"fusion.{camera}_branch.{block}", (camera,), (camera,))
    yield _Layer("fusion.attend.squeeze", ("gate",), both)
    yield _Layer("fusion.attend.excite", both, ("gate",))
    yield _Layer("fusion.attend.share", (), both)
    yield _Layer("fusion.merge", ("merged",), both)
    yield _Layer("fusion.trunk", ("merged",), ("merged",))
    yield _Layer("fusion.decode", ("decoded",), ("merged", 32))
    yield _Layer("fusion.subpixels", (), ("decoded",))
    yield from {"efficientnet-lite0": _of_lite0, "csp-darknet-tiny": _of_darknet}.get(sizes.backbone, tuple)()
    for number, scale in enumerate(("fine", "middle", "coarse")):
        yield _Layer(f"perception.lateral.{number}", (scale,), ())
    yield _Layer("perception.coarse", ("coarse",), ("coarse",))
    yield _Layer("perception.to_middle", ("middle",), ("coarse",))
    yield _Layer("perception.middle", ("middle",), ("middle",))
    yield _Layer("perception.to_fine", ("fine",), ("middle",))
    yield _Layer("perception.fine.0", ("fine",), ("fine",))
    yield _Layer("perception.fine.1", ("fine",), ("fine",))
    yield _Layer("perception.centre", (), ("fine",))
    yield _Layer("perception.sides", (), ("fine",))
    yield _Layer("perception.score", (), ("coarse",))
    if sizes.backbone != "centernet-mobilenetv3":
        yield _Layer("perception.illuminate", (), (2 * BACKBONES[sizes.backbone].channels[0], "coarse"))


def _of_lite0() -> Iterator[_Layer]:
    for camera in ("visible", "thermal"):
        for block in range(1, 11):
            group = f"{camera}{block}"
            at = f"perception.branches.{camera}.blocks.{block}.layers"
            yield _Layer(f"{at}.0", (group,), ())
            yield _Layer(f"{at}.1", (group,), ())
            yield _Layer(f"{at}.2", (), (group,))


def _of_darknet() -> Iterator[_Layer]:
    for stage in range(3):
        at, first, second = f"perception.branches.backbone.stages.{stage}", f"first{stage}", f"second{stage}"
        yield _Layer(f"{at}.first", (first,), ())
        yield _Layer(f"{at}.second", (second,), (first,))
        yield _Layer(f"{at}.project", (), (second, first))


def _counts(network: FusionNet, layers: list[_Layer]) -> dict[str, int]:
    """Channels of each group."""
    modules = dict(network.named_modules())
    return {str(part): len(_weight(modules[name])) for name, made, _ in layers if len(made) == 1 for part in made}


def _heaviest(network: FusionNet, layers: list[_Layer], group: str, count: int) -> Tensor:
    modules, whole = dict(network.named_modules()), _counts(network, layers)
    made, read = (torch.zeros(whole[group]) for _ in range(2))
    for layer in layers:
        weight = _weight(modules[layer.name])
        for parts, total, norms in (
            (layer.made, made, weight.flatten(1).norm(dim=1)),
            (layer.read, read, weight.transpose(0, 1).flatten(1).norm(dim=1)),
        ):
            start = 0
            for part in parts:
                width = part if isinstance(part, int) else whole[part]
                if part == group:
                    total += norms[start : start + width]
                start += width
    return (made * read).topk(count).indices.sort().values


def _indices(parts: _Parts, kept: dict[str, Tensor], whole: dict[str, int]) -> Tensor | None:
    """Channels that stay; None where all do."""
    if not parts:
        return None
    taken, start = [], 0
    for part in parts:
        if isinstance(part, int):
            taken.append(torch.arange(start, start + part))
            start += part
        else:
            taken.append(kept[part] + start)
            start += whole[part]
    return torch.cat(taken)


def _weight(module: nn.Module) -> Tensor:
    if isinstance(module, RepConv):
        return module.kernel().detach()
    if isinstance(module, ConvThenNorm):
        return module.conv.weight.detach()
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight.detach()


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:k]) for k in range(len(parts), 0, -1))
