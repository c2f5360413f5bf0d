"""The metrics of VIFB against its published values, and the leaderboard."""

import json
import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from vi_fusion_ros.cli import main
from vi_fusion_ros.evaluation.metrics.vifb import VIFB, vifb_metrics

METHODS = ("CNN", "DLF", "GTF", "IFCNN", "ResNet")
IMAGES = (
    *("carLight", "carShadow", "carWhite", "elecbike", "fight", "kettle", "labMan", "man", "manCall", "manCar"),
    *("manWalking", "manlight", "manwithbag", "nightCar", "peopleshadow", "running", "snow", "tricycle", "walking"),
    *("walking2", "walkingnight"),
)
ALL = bool(os.environ.get("VI_FUSION_ALL_GOLDENS"))
"""All 105 images take minutes of processor time; without it, every third pair is measured on one method's image."""
CASES = [
    (image, method) for k, image in enumerate(IMAGES) for m, method in enumerate(METHODS) if ALL or k % 15 == 3 * m
]


@pytest.fixture(scope="module")
def benchmark_files(data_dir):
    """Reads a file of the benchmark."""
    path = data_dir / "seed_methods.zip"
    if not path.is_file():
        pytest.skip(f"{path} is not there: images and values of VIFB")
    with zipfile.ZipFile(path) as archive:
        yield lambda name: archive.read(f"vifb_jpg/{name}")


@pytest.fixture(scope="module")
def published(benchmark_files):
    """Values by method, metric and image."""
    return json.loads(benchmark_files("published_metrics.json"))


def rgb(octets):
    return cv2.imdecode(np.frombuffer(octets, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.mark.data
@pytest.mark.parametrize(("image", "method"), CASES)
def test_every_metric_agrees_with_the_published_values(benchmark_files, published, image, method):
    fused, visible, thermal = (rgb(benchmark_files(f"{folder}/{image}.jpg")) for folder in (method, "vi", "ir"))
    values = vifb_metrics(fused, visible, thermal)
    assert list(values) == list(VIFB)
    for name, value in values.items():
        assert value == pytest.approx(published[method][VIFB[name].key][image], rel=1e-4), name


def noise(seed, shape=(40, 56, 3)):
    small = np.random.default_rng(seed).integers(0, 256, (10, 14, 3), np.uint8)
    return cv2.resize(small, shape[1::-1], interpolation=cv2.INTER_CUBIC)


def test_a_source_itself_has_the_values_of_no_loss():
    image = noise(0)
    values = vifb_metrics(image, image, image)
    assert values["CE"] == values["RMSE"] == values["Qcv"] == 0
    assert values["PSNR"] == float("inf")
    assert values["SSIM"] == pytest.approx(2)
    assert values["Qcb"] == pytest.approx(1)
    assert values["MI"] > 2


def test_grey_images_are_the_same_as_with_three_equal_channels():
    fused, visible, thermal = (noise(k)[..., 0].copy() for k in range(3))
    wide = [np.repeat(image[..., None], 3, 2) for image in (fused, visible, thermal)]
    assert vifb_metrics(fused, visible, thermal) == vifb_metrics(*wide)


@pytest.mark.filterwarnings("error")
def test_images_without_contrast_have_values():
    flat = np.full((20, 20, 3), 80, np.uint8)
    assert all(np.isfinite(value) or name == "PSNR" for name, value in vifb_metrics(flat, flat, flat).items())


def test_other_sizes_are_one_sentence():
    with pytest.raises(ValueError, match="fused, visible and thermal images of 56×40, 56×40, 20×20; expected one size"):
        vifb_metrics(noise(0), noise(1), noise(2, (20, 20, 3)))


@pytest.fixture
def folders(tmp_path):
    """Two pairs, and another method's images of them."""
    for seed, folder in enumerate(("visible", "thermal", "other")):
        (tmp_path / folder).mkdir()
        for k, name in enumerate("ab"):
            cv2.imwrite(str(tmp_path / folder / f"{name}.png"), noise(10 * k + seed))
    return tmp_path


def command(folder, *more):
    return ["evaluate", "fusion", "--protocol", "vifb", "--visible", f"{folder}/visible", "--thermal",
            f"{folder}/thermal", "--json", f"{folder}/out.json", "--jobs", "1", *more]  # fmt: skip


def values_file(folder, **changed):
    tree = {"best": {metric.key: {"a": 1e6 if metric.higher else 0.0, "b": 1e6 if metric.higher else 0.0}
                     for metric in VIFB.values()}, **changed}  # fmt: skip
    path = folder / f"{'-'.join(tree)}.json"
    path.write_text(json.dumps(tree))
    return str(path)


def test_the_leaderboard_has_methods_images_and_published_values(folders, capsys):
    code = main(command(folders, "--methods", "max,laplacian", "--fused", f"mine={folders}/other",
                        "--peers", values_file(folders)))  # fmt: skip
    out = capsys.readouterr()
    assert code == 0, out.err
    written = json.loads((folders / "out.json").read_text())
    assert list(written["methods"]) == ["vi_fusion", "max", "laplacian", "mine", "best"]
    assert written["mean_rank"]["best"] == 1
    assert sum(written["mean_rank"].values()) == pytest.approx(1 + 2 + 3 + 4 + 5)
    assert list(written["methods"]["mine"]) == list(VIFB)
    other, visible, thermal = (
        cv2.imread(f"{folders}/{folder}/b.png")[..., ::-1] for folder in ("other", "visible", "thermal")
    )
    thermal = np.asarray(thermal)
    assert written["per_frame"]["mine"]["Qcv"][1] == pytest.approx(vifb_metrics(other, visible, thermal)["Qcv"])
    assert "best*" in out.out


def test_published_values_that_cannot_be_used_are_one_sentence(folders, capsys):
    no_json = folders / "text.json"
    no_json.write_text("nothing")
    whole = json.loads(Path(values_file(folders)).read_text())["best"]
    for path, sentence in (
        (str(no_json), "text.json: no JSON ("),
        (values_file(folders, poor={}), "method poor has no metric Avg_gradient; expected values by image"),
        (values_file(folders, max=whole), "the method max is evaluated already; expected other names"),
        (values_file(folders, short={**whole, "Qcb": {"a": 1}}), "method short has no value of 'b'; expected one"),
        (values_file(folders, odd={**whole, "Qcb": {"a": "x"}}), "odd, Qcb, image a: expected a finite number"),
    ):
        assert main(command(folders, "--methods", "max", "--peers", path)) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert sentence in said
    assert main(command(folders, "--methods", "max", "--report", f"{folders}/page")) == 2
    assert "--protocol vifb makes no --report" in capsys.readouterr().err
