"""Every method by name."""

from __future__ import annotations

from vi_fusion_ros.methods.base import FusionMethod
from vi_fusion_ros.methods.csr import csr
from vi_fusion_ros.methods.gtf import gtf
from vi_fusion_ros.methods.laplacian import laplacian
from vi_fusion_ros.methods.pixelwise import average, maximum

_BASELINE = "baseline"

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


def method(name: str) -> FusionMethod:
    """The method of a name.

    Raises:
        ValueError: there is none.
    """
    if name not in METHODS:
        raise ValueError(f"no fusion method is called {name!r}; expected one of {', '.join(METHODS)}")
    return METHODS[name]


def chosen(text: str) -> list[FusionMethod]:
    """The methods of a list as people type it: names with commas between, or ``all`` for those that can run here.

    Raises:
        ValueError: there is no such method, or the package that it needs is missing.
    """
    if text == "all":
        return [entry for entry in METHODS.values() if not entry.missing]
    found = [method(name.strip()) for name in dict.fromkeys(text.split(","))]
    for entry in found:
        if entry.missing:
            raise ValueError(entry.missing)
    return found
