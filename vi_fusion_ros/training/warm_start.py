"""Begin with the weights of an earlier model: a checkpoint of a run, or an exported ONNX file.

An ONNX file has no BatchNorm and no parallel branches left; its plain convolutions are put back into the blocks that
they were folded from. So anybody can train on from ``models/default.onnx`` without the checkpoint behind it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vi_fusion_ros.engines.manifest import Manifest
from vi_fusion_ros.model.layers import FOLDABLE, RepConv
from vi_fusion_ros.model.network import FusionNet, NetworkConfig
from vi_fusion_ros.training.checkpoints import checkpoint_weights
from vi_fusion_ros.training.config import build
from vi_fusion_ros.training.interpolation import towards_pretrained


def start_from(network: FusionNet, path: Path) -> bool:
    """Give ``network`` the weights in ``path``.

    Args:
        network: of the same sizes; it may have further ``RepConv`` blocks with an identity branch at the end of a
            sequence, which begin as the identity.
        path: a checkpoint of ``vi-fusion train``, whose branches begin as that run releases them, or an ONNX file of
            ``vi-fusion export`` (by its suffix). With an ONNX file BatchNorm does nothing until its statistics are
            learned anew: train with ``freeze_norm: 0.0``.

    Returns:
        Whether its perception part has been trained; a run of the fusion decoder alone leaves it as it was made, unless
        that run began with an ONNX file.

    Raises:
        ValueError: the file cannot be read, or is of a network with other sizes.
    """
    if path.suffix == ".onnx":
        _unfold(network, _initializers(path), path)
        return True
    config, weights = checkpoint_weights(path)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path}: is of a network with other sizes ({error})") from error
    towards_pretrained(network, config.optim.pretrained_share)
    return config.scenes.frames > 0 or (config.start_from is not None and config.start_from.suffix == ".onnx")


def load_network(model: Path) -> FusionNet:
    """The network of an exported ONNX file, of the sizes that the manifest beside it names, in eval mode.

    Raises:
        ValueError: the manifest or the file cannot be used.
    """
    manifest = Manifest.load(model.with_suffix(".json"))
    manifest.check_onnx(model)
    sizes = manifest.training.get("config", {}).get("network")
    if not isinstance(sizes, dict):
        raise ValueError(  # noqa: TRY004 (a user's fault)
            f"manifest of {model} says nothing of the network's sizes; expected a model of vi-fusion export"
        )
    network = FusionNet(build(NetworkConfig, sizes))
    start_from(network, model)
    return network.eval()


def _initializers(path: Path) -> dict[str, Tensor]:
    import onnx
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path)).graph
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); expected a model to start from") from error
    except Exception as error:
        raise ValueError(f"{path}: not an ONNX file ({error})") from error
    return {item.name: torch.from_numpy(np.array(numpy_helper.to_array(item))) for item in graph.initializer}


def _unfold(network: FusionNet, given: dict[str, Tensor], path: Path) -> None:
    folded = network.folded().state_dict()
    spare = _spare_blocks(network, given)
    for name, tensor in folded.items():
        if name.rsplit(".", 2)[0] in spare:
            continue
        if name not in given or given[name].shape != tensor.shape:
            found = tuple(given[name].shape) if name in given else "nothing"
            raise ValueError(f"{path}: {name} is {found}; expected {tuple(tensor.shape)}, as of this network's sizes")
    own = dict(network.named_parameters())
    for name, block in network.named_modules():
        if name in spare:
            assert isinstance(block, RepConv)
            block.become_identity()
        elif isinstance(block, FOLDABLE):
            block.unfold(given[f"{name}.0.weight"], given[f"{name}.0.bias"])
    with torch.no_grad():
        for name in own.keys() & folded.keys():
            own[name].copy_(given[name])


def _spare_blocks(network: nn.Module, given: dict[str, Tensor]) -> set[str]:
    """Names of the blocks that the file does not have and that can begin as the identity."""
    return {
        name
        for name, block in network.named_modules()
        if isinstance(block, RepConv) and block.identity_scale is not None and f"{name}.0.weight" not in given
    }
