"""Fusion metrics against stored values, known answers and the libraries' own implementations."""

from __future__ import annotations

import csv
import math
import zipfile
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from vi_fusion_ros.evaluation.fusion.evaluation import trivial_fusions
from vi_fusion_ros.evaluation.metrics import pixel, structure
from vi_fusion_ros.evaluation.metrics.fusion import METRICS, MIN_SIZE, fusion_metrics, metrics_of_methods, to_gray
from vi_fusion_ros.evaluation.metrics.gray_image import GrayImage
from vi_fusion_ros.evaluation.parallel import map_in_order

Gray8 = npt.NDArray[np.uint8]
ONE_SIDED = ("one_sided_visible", "one_sided_thermal")
ALWAYS = [name for name in METRICS if name not in ONE_SIDED]  # those that every frame has a value of
GOLDEN_NAMES = {"SSIM": "SSIM2"}  # ours to the golden file's


def textured(seed: int, shape: tuple[int, int] = (120, 200)) -> Gray8:
    """A smooth random texture with a full histogram."""
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return np.clip(128 + 45 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def gray(image: npt.NDArray) -> GrayImage:
    return GrayImage(image.astype(np.float64))


A, B, F = textured(1), textured(2), textured(3)


def golden_errors(job: tuple[Path, str, list[dict[str, str]]]) -> dict[str, float]:
    archive, frame, rows = job
    with zipfile.ZipFile(archive) as images:
        visible, thermal = (
            to_gray(cv2.imdecode(np.frombuffer(images.read(f"{kind}/{frame}.jpg"), np.uint8), cv2.IMREAD_UNCHANGED))
            for kind in ("visible", "thermal")
        )
    names = [name for name in METRICS if GOLDEN_NAMES.get(name, name) in rows[0]]
    values = metrics_of_methods(trivial_fusions(visible, thermal), visible, thermal, names)
    worst: dict[str, float] = defaultdict(float)
    for row in rows:
        for name, value in values[row["method"]].items():
            if (column := GOLDEN_NAMES.get(name, name)) in row:
                golden = float(row[column])
                worst[column] = max(worst[column], abs(value - golden) / abs(golden))
    return worst


@pytest.mark.data
def test_values_agree_with_the_goldens_on_every_frame_and_column(data_dir: Path) -> None:
    with (data_dir / "fusion_metric_goldens.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    by_frame: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        by_frame[row["frame"]].append(row)
    jobs = [(data_dir / "roadscene_dev.zip", frame, rows) for frame, rows in by_frame.items()]
    worst: dict[str, float] = defaultdict(float)
    for errors in map_in_order(golden_errors, jobs, 2, "goldens", chunk=4):
        for column, error in errors.items():
            worst[column] = max(worst[column], error)
    assert set(worst) == set(rows[0]) - {"frame", "method"}
    assert max(worst.values()) < 1e-3, dict(worst)


def test_identical_images_reach_the_maximum() -> None:
    values = fusion_metrics(A, A, A)
    nats = gray(A).information
    assert values["MI"] == pytest.approx(2 * nats)
    assert values["VIF"] == pytest.approx(2, rel=1e-3)
    assert values["SSIM"] == pytest.approx(2)
    assert values["SSIM255"] == pytest.approx(2)
    assert values["MS_SSIM"] == pytest.approx(2)
    assert values["CC"] == pytest.approx(1)
    assert values["PSNR"] == math.inf
    assert values["Qabf"] == pytest.approx(0.9994 * 0.9879 / (1 + math.exp(-22 * 0.2)), rel=0.01)
    assert values["SCD"] == 0  # F - A is constant


def test_a_constant_image_has_no_content_and_no_metric_is_undefined() -> None:
    flat = np.full_like(A, 77)
    values = fusion_metrics(flat, A, B)
    assert [values[name] for name in ("EN", "SD", "SF", "AG", "CC")] == [0] * 5
    assert values["MI"] == pytest.approx(0, abs=1e-9)
    assert values["VIF"] == pytest.approx(0, abs=1e-6)
    black = np.zeros_like(A)  # any other level has an edge against the zero padding
    assert fusion_metrics(black, A, B)["Qabf"] == pytest.approx(0, abs=1e-3)
    assert all(math.isfinite(value) for value in fusion_metrics(flat, flat + 1, flat, ALWAYS).values())


def test_the_average_of_two_sources_is_the_best_for_psnr() -> None:
    average = np.rint((A.astype(float) + B) / 2).astype(np.uint8)
    best = fusion_metrics(average, A, B, ["PSNR"])["PSNR"]
    for other in (A, B, F, np.maximum(A, B)):
        assert fusion_metrics(other, A, B, ["PSNR"])["PSNR"] < best


def test_inversion_turns_correlations_round_and_leaves_what_has_no_sign() -> None:
    plain, inverted = fusion_metrics(A, A, A), fusion_metrics(255 - A, A, A)
    for name in ("EN", "SD", "SF", "AG", "MI"):
        assert inverted[name] == pytest.approx(plain[name])
    assert inverted["CC"] == pytest.approx(-1)
    assert inverted["VIF"] == pytest.approx(0, abs=1e-6)
    assert inverted["SSIM"] < 0


def test_brightness_shift_changes_only_what_looks_at_the_level() -> None:
    dark = (A // 2).astype(np.uint8)
    plain, brighter = fusion_metrics(dark, dark, dark), fusion_metrics(dark + 40, dark, dark)
    for name in ("EN", "SD", "SF", "AG", "MI", "CC"):
        assert brighter[name] == pytest.approx(plain[name])
    assert brighter["VIF"] == pytest.approx(plain["VIF"], rel=1e-6)
    assert brighter["SSIM255"] < plain["SSIM255"]
    assert brighter["PSNR"] == pytest.approx(10 * math.log10(255**2 / 40**2))


def smoke_scene() -> tuple[Gray8, Gray8]:
    """Bright smoke with a little noise in the visible image; a dark jacket with folds in the thermal one."""
    rng = np.random.default_rng(5)
    visible = np.clip(rng.normal(220, 2, (80, 100)), 0, 255).astype(np.uint8)
    thermal = np.full((80, 100), 90, np.uint8)
    thermal[20:60, 30:70] = 40 + 30 * (np.arange(40) // 4 % 2)
    return visible, thermal


def test_one_sided_structure_sees_what_the_brighter_source_hides() -> None:
    visible, thermal = smoke_scene()
    kept = fusion_metrics(thermal, visible, thermal, ONE_SIDED)
    assert kept["one_sided_thermal"] == pytest.approx(1)
    assert math.isnan(kept["one_sided_visible"])  # nowhere has the smoke a structure of its own
    hidden = fusion_metrics(np.maximum(visible, thermal), visible, thermal, ONE_SIDED)
    assert abs(hidden["one_sided_thermal"]) < 0.1  # the noise of the smoke
    inverted = fusion_metrics(255 - thermal, visible, thermal, ONE_SIDED)
    assert inverted["one_sided_thermal"] == pytest.approx(-1, abs=1e-3)
    fainter = fusion_metrics((110 + thermal // 2).astype(np.uint8), visible, thermal, ONE_SIDED)
    assert fainter["one_sided_thermal"] == pytest.approx(1, abs=1e-3)  # contrast is another metric's business


def test_one_sided_structure_goes_both_ways() -> None:
    visible, thermal = smoke_scene()
    ways = [fusion_metrics(thermal, *pair, ONE_SIDED) for pair in ((visible, thermal), (thermal, visible))]
    assert ways[0]["one_sided_thermal"] == ways[1]["one_sided_visible"]


def test_structure_that_has_gone_altogether_counts_nothing() -> None:
    # 0 / 0: the constant of the term alone would say 1, that all of it is there.
    visible, thermal = smoke_scene()
    gone = fusion_metrics(np.full_like(visible, 220), visible, thermal, ONE_SIDED)
    assert gone["one_sided_thermal"] == 0


def test_one_sided_structure_of_one_window_by_hand() -> None:
    source, fused = np.full((41, 41), 100.0), np.full((41, 41), 100.0)
    source[20, 20], fused[20, 20], fused[20, 21] = 240, 130, 110
    # 49 windows hold the pixel, 42 of them its right neighbour too: sd 19.80 > 10; the others are flat.
    n = 49
    spread = 140**2 * (1 / n - 1 / n**2)
    both = 140 * 30 / n - 140 * 40 / n**2, (30**2 + 10**2) / n - (40 / n) ** 2
    alone = 140 * 30 / n - 140 * 30 / n**2, 30**2 / n - (30 / n) ** 2
    c = 0.0018
    terms = [(cov + c) / (math.sqrt(var * spread) + c) for cov, var in (both, alone)]
    expected = (42 * terms[0] + 7 * terms[1]) / 49
    value = structure.one_sided_structure(GrayImage(fused), GrayImage(source), GrayImage(np.zeros((41, 41))))
    assert value == pytest.approx(expected, rel=1e-9)


def test_displacement_lowers_every_metric_of_structure() -> None:
    names = ("MI", "VIF", "Qabf", "SSIM", "MS_SSIM", "CC", "PSNR")
    values = [fusion_metrics(np.roll(A, shift, axis=1), A, A, names) for shift in (0, 1, 4)]
    for name in names:
        assert values[0][name] > values[1][name] > values[2][name]


def test_the_order_of_the_sources_does_not_matter() -> None:
    assert fusion_metrics(F, A, B, ALWAYS) == pytest.approx(fusion_metrics(F, B, A, ALWAYS))


def test_a_known_ramp() -> None:
    ramp = np.tile(np.arange(128, dtype=np.uint8), (64, 1))
    values = fusion_metrics(ramp, ramp, ramp, ["EN", "SF", "AG", "SD"])
    assert values["EN"] == pytest.approx(7)
    assert values["SF"] == pytest.approx(1)
    assert values["AG"] == pytest.approx(math.sqrt(0.5))
    assert values["SD"] == pytest.approx(math.sqrt((128**2 - 1) / 12))


def test_against_scikit_image() -> None:
    skimage_metrics = pytest.importorskip("skimage.metrics")
    measure = pytest.importorskip("skimage.measure")
    a, f = gray(A), gray(F)
    for data_range in (2, 255):
        expected = skimage_metrics.structural_similarity(f.image, a.image, data_range=data_range)
        assert structure.structural_similarity(f, a, a, data_range) == pytest.approx(2 * expected)
    assert pixel.peak_signal_to_noise(f, a, a) == pytest.approx(
        skimage_metrics.peak_signal_noise_ratio(a.image, f.image, data_range=255)
    )
    assert pixel.entropy_bits(f) == pytest.approx(measure.shannon_entropy(F))


def test_one_scale_of_ms_ssim_against_scikit_image() -> None:
    skimage_metrics = pytest.importorskip("skimage.metrics")
    a, f = (textured(seed, (21, 60)).astype(np.float64) for seed in (1, 1))
    f = np.clip(f + np.random.default_rng(0).normal(0, 20, f.shape), 0, 255)
    expected = skimage_metrics.structural_similarity(
        f, a, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert structure.multi_scale_structural_similarity(gray(f), gray(a), gray(a)) == pytest.approx(2 * expected)


def test_against_scikit_learn_and_scipy() -> None:
    cluster = pytest.importorskip("sklearn.metrics")
    stats = pytest.importorskip("scipy.stats")
    expected = cluster.mutual_info_score(A.ravel(), F.ravel()) + cluster.mutual_info_score(B.ravel(), F.ravel())
    assert fusion_metrics(F, A, B, ["MI"])["MI"] == pytest.approx(expected)
    expected = (stats.pearsonr(F.ravel(), A.ravel())[0] + stats.pearsonr(F.ravel(), B.ravel())[0]) / 2
    assert fusion_metrics(F, A, B, ["CC"])["CC"] == pytest.approx(expected)


def test_edges_against_scipys_convolution() -> None:
    signal = pytest.importorskip("scipy.signal")
    image = A.astype(np.float64)
    gx = signal.convolve2d(image, [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], mode="same")
    gy = signal.convolve2d(image, [[1, 2, 1], [0, 0, 0], [-1, -2, -1]], mode="same")
    strength, direction = gray(A).edges
    np.testing.assert_allclose(strength, np.hypot(gx, gy), atol=1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):
        np.testing.assert_allclose(direction, np.where(gx == 0, np.pi / 2, np.arctan(gy / gx)), atol=1e-12)


def test_luma_is_rounded_once() -> None:
    assert to_gray(A) is A
    colours = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    exact = colours @ np.array([0.114, 0.587, 0.299])
    assert np.abs(to_gray(colours) - exact).max() <= 0.5 + 1e-4


def test_several_methods_at_once_get_what_each_gets_alone() -> None:
    flat = np.clip(B, 120, 130)  # the other source has no structure, so that there are one-sided windows
    together = metrics_of_methods({"one": F, "source": A, "other": flat}, A, flat)
    assert together == {
        "one": pytest.approx(fusion_metrics(F, A, flat), nan_ok=True),
        "source": pytest.approx(fusion_metrics(A.copy(), A, flat), nan_ok=True),
        "other": pytest.approx(fusion_metrics(flat.copy(), A, flat), rel=1e-9, nan_ok=True),
    }
    assert together["source"]["one_sided_visible"] == pytest.approx(1)


def test_names_choose_and_order_the_metrics() -> None:
    assert list(fusion_metrics(F, A, B, ["SD", "EN"])) == ["SD", "EN"]
    assert list(fusion_metrics(F, A, B)) == list(METRICS)


@pytest.mark.parametrize(
    ("fused", "message"),
    [
        (F.astype(np.float32), r"fused image has shape \(120, 200\) and type float32; expected \(H, W\) uint8"),
        (F[:, :, None], r"expected \(H, W\) uint8"),
        (F[:100], "visible image is 200x120, the fused one 200x100; expected the same size"),
        (F[: MIN_SIZE - 1], "fused image is 200x40; expected at least 41x41"),
    ],
)
def test_wrong_images_are_named(fused: npt.NDArray[np.uint8], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fusion_metrics(fused, A, B)


def test_an_unknown_metric_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="unknown fusion metric 'LPIPS'; expected one of EN, SD"):
        fusion_metrics(F, A, B, ["LPIPS"])


def test_the_smallest_image_has_every_metric() -> None:
    small = [image[:MIN_SIZE, :MIN_SIZE] for image in (F, A, B)]
    assert all(math.isfinite(value) for value in fusion_metrics(*small, ALWAYS).values())


def test_every_metric_says_what_it_is() -> None:
    for metric in METRICS.values():
        assert metric.direction == "higher"
        assert metric.range
        assert metric.source
        assert metric.convention
    assert [name for name, metric in METRICS.items() if metric.ranked] == (
        ["EN", "SD", "SF", "MI", "SCD", "VIF", "Qabf", "SSIM"]
    )
