"""Fusion quality metrics in one stated convention.

Grey 8-bit images, computed in float64 on 0 to 255. The convention is the one of the tables that CDDFuse (Zhao et al.,
CVPR 2023) and its followers publish; each entry of ``METRICS`` says what it is. The values differ from those of papers
that scale images to 0-1, take MI in bits, average over the two sources or set data_range to 255.

No single one means anything: a copy of one source saturates MI, VIF and SSIM. Read them beside the trivial fusions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.evaluation.metrics import pixel, structure
from vi_fusion_ros.evaluation.metrics.gray_image import VIF_MIN_SIZE, GrayImage

Gray8 = npt.NDArray[np.uint8]
Compute = Callable[[GrayImage, GrayImage, GrayImage], float]

MIN_SIZE = VIF_MIN_SIZE


@dataclass(frozen=True)
class Metric:
    """One metric and what a reader must know of it.

    Attributes:
        name: key in results.
        title: what it is called in full.
        range: lowest to highest possible value, with its unit.
        direction: ``higher`` or ``lower`` is better.
        source: the paper it comes from.
        convention: what other code does differently.
        ranked: whether it counts in the mean rank: those of the usual tables do, but AG, which repeats SF.
        compute: (fused, visible, thermal) to its value, images of one size; NaN where a frame has no value.
    """

    name: str
    title: str
    range: str
    direction: str
    source: str
    convention: str
    ranked: bool
    compute: Compute


def _of_fused(function: Callable[[GrayImage], float]) -> Compute:
    return lambda fused, a, b: function(fused)  # noqa: ARG005


def _metric(
    name: str,
    title: str,
    compute: Compute,
    span: str,
    source: str,
    convention: str,
    ranked: bool = True,
) -> Metric:
    return Metric(name, title, span, "higher", source, convention, ranked, compute)


_STRUCTURE_TERM = "its structure term: Wang et al., IEEE Trans. Image Process. 2004"
_ONE_SIDED = (
    "mean of (cov + c) / (sd sd + c) of the fused and the {0} image over the 7 x 7 windows where the {0} one has a "
    "standard deviation above 10 and the {1} one below 5; a frame without such a window is left out of the mean"
)

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _metric(
            "EN",
            "entropy",
            _of_fused(pixel.entropy_bits),
            "0 to 8 bits",
            "Roberts et al., J. Appl. Remote Sens. 2008",
            "log2, 256 bins of the 8-bit image; noise raises it",
        ),
        _metric(
            "SD",
            "standard deviation",
            _of_fused(pixel.standard_deviation),
            "0 to 127.5 grey levels",
            "Rao, Meas. Sci. Technol. 1997",
            "population, not sample; a contrast stretch raises it",
        ),
        _metric(
            "SF",
            "spatial frequency",
            _of_fused(pixel.spatial_frequency),
            "0 to 360.7 grey levels",
            "Eskicioglu and Fisher, IEEE Trans. Commun. 1995",
            "sqrt(mean dx² + mean dy²), each mean over its own differences",
        ),
        _metric(
            "AG",
            "average gradient",
            _of_fused(pixel.average_gradient),
            "0 to 255 grey levels",
            "Cui et al., Opt. Commun. 2015",
            "mean sqrt((gx² + gy²) / 2), central differences, one-sided on the border",
            ranked=False,
        ),
        _metric(
            "MI",
            "mutual information",
            pixel.mutual_information,
            "0 to 11.09 nats",
            "Qu, Zhang and Yan, Electron. Lett. 2002",
            "summed over both sources, 256 x 256 histogram, nats (other code: bits), not normalised",
        ),
        _metric(
            "SCD",
            "sum of the correlations of differences",
            pixel.sum_of_correlations_of_differences,
            "-2 to 2",
            "Aslantas and Bendes, AEU 2015",
            "corr(A, F-B) + corr(B, F-A); with a constant image 0",
        ),
        _metric(
            "VIF",
            "visual information fidelity, pixel domain",
            structure.visual_information_fidelity,
            "0 upward; 1 per source that is kept, more where contrast is enhanced",
            "Sheikh and Bovik, IEEE Trans. Image Process. 2006",
            "vifp of the fused image against each source, 4 scales, noise variance 2, summed (other code: mean)",
        ),
        _metric(
            "Qabf",
            "edge transfer",
            structure.edge_transfer,
            "0 to 1",
            "Xydeas and Petrovic, Electron. Lett. 2000",
            "Sobel with zero padding; Γg .9994 κg -15 σg .5, Γα .9879 κα -22 σα .8; weights are the gradients",
        ),
        _metric(
            "SSIM",
            "structural similarity",
            partial(structure.structural_similarity, data_range=2.0),
            "-2 to 2",
            "Wang et al., IEEE Trans. Image Process. 2004",
            "summed over both sources, 7 x 7 uniform window, data_range 2 on 0-255 data as the tables have it",
        ),
        _metric(
            "SSIM255",
            "structural similarity with the data range that its authors meant",
            partial(structure.structural_similarity, data_range=255.0),
            "-2 to 2",
            "Wang et al., IEEE Trans. Image Process. 2004",
            "as SSIM, data_range 255",
            ranked=False,
        ),
        _metric(
            "CC",
            "correlation coefficient",
            pixel.correlation_coefficient,
            "-1 to 1",
            "Deshmukh and Bhosale, Int. J. Image Process. 2010",
            "mean over both sources; with a constant image 0",
            ranked=False,
        ),
        _metric(
            "PSNR",
            "peak signal to noise ratio",
            pixel.peak_signal_to_noise,
            "0 dB upward",
            "Jagalingam and Hegde, Aquat. Procedia 2015",
            "of the mean of both sources' mean squared errors, peak 255; the average of the sources is its maximum",
            ranked=False,
        ),
        _metric(
            "MS_SSIM",
            "multi-scale structural similarity",
            structure.multi_scale_structural_similarity,
            "0 to 2",
            "Wang, Simoncelli and Bovik, Asilomar 2003",
            "summed over both sources, 11 x 11 Gaussian (σ 1.5), data_range 255, 2 x 2 means between scales",
            ranked=False,
        ),
        _metric(
            "one_sided_visible",
            "structure that only the visible image has",
            structure.one_sided_structure,
            "-1 to 1",
            _STRUCTURE_TERM,
            _ONE_SIDED.format("visible", "thermal"),
            ranked=False,
        ),
        _metric(
            "one_sided_thermal",
            "structure that only the thermal image has",
            lambda fused, visible, thermal: structure.one_sided_structure(fused, thermal, visible),
            "-1 to 1",
            _STRUCTURE_TERM,
            _ONE_SIDED.format("thermal", "visible"),
            ranked=False,
        ),
    )
}


def fusion_metrics(
    fused: Gray8, visible: Gray8, thermal: Gray8, names: Iterable[str] | None = None
) -> dict[str, float]:
    """Compute fusion metrics of one frame.

    Args:
        fused: (H, W) uint8, both sides at least 41 pixels.
        visible: (H, W) uint8 luma, as ``to_gray`` makes it.
        thermal: (H, W) uint8, registered to the visible image.
        names: keys of ``METRICS``; all where not given.

    Returns:
        Name to value, in the order asked for.

    Raises:
        ValueError: if an image is not (H, W) uint8, the sizes differ, one is too small or a name is unknown.
    """
    return metrics_of_methods({"": fused}, visible, thermal, names)[""]


def metrics_of_methods(
    fused: Mapping[str, Gray8], visible: Gray8, thermal: Gray8, names: Iterable[str] | None = None
) -> dict[str, dict[str, float]]:
    """Metrics of several fused images of one frame: less work than one by one, since the sources are the same.

    Args:
        fused: by method; else as for ``fusion_metrics``. One that is a source itself costs least.
        visible: as for ``fusion_metrics``.
        thermal: as for ``fusion_metrics``.
        names: as for ``fusion_metrics``.

    Returns:
        Method to name to value.

    Raises:
        ValueError: as ``fusion_metrics``.
    """
    chosen = [_by_name(name) for name in (METRICS if names is None else names)]
    a, b = (GrayImage(image.astype(np.float64)) for image in (visible, thermal))
    values = {}
    for method, image in fused.items():
        for which, one in (("fused", image), ("visible", visible), ("thermal", thermal)):
            _check(which, one, image.shape)
        f = a if image is visible else b if image is thermal else GrayImage(image.astype(np.float64))
        values[method] = {metric.name: metric.compute(f, a, b) for metric in chosen}
    return values


def to_gray(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(H, W) uint8 luma of an (H, W) or (H, W, 3) BGR uint8 image: 0.299 R + 0.587 G + 0.114 B, rounded once."""
    if image.ndim == 2:
        return image
    # OpenCV's own 8-bit path works in fixed point, which is one level off for some colours.
    luma = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_BGR2GRAY)
    return np.rint(luma).astype(np.uint8)


def _by_name(name: str) -> Metric:
    if name not in METRICS:
        raise ValueError(f"unknown fusion metric '{name}'; expected one of {', '.join(METRICS)}")
    return METRICS[name]


def _check(which: str, image: npt.NDArray[np.uint8], shape: tuple[int, ...]) -> None:
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError(f"{which} image has shape {image.shape} and type {image.dtype}; expected (H, W) uint8")
    if min(image.shape) < MIN_SIZE:
        raise ValueError(f"{which} image is {image.shape[1]}x{image.shape[0]}; expected at least {MIN_SIZE}x{MIN_SIZE}")
    if image.shape != shape:
        raise ValueError(
            f"{which} image is {image.shape[1]}x{image.shape[0]}, the fused one {shape[1]}x{shape[0]}; "
            "expected the same size"
        )
