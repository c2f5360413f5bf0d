"""A method in the pipeline and in the commands."""

import json

import cv2
import numpy as np
import pytest

from vi_fusion_ros.cli import main
from vi_fusion_ros.methods.engine import MethodEngine
from vi_fusion_ros.methods.registry import METHODS, method
from vi_fusion_ros.pipeline import build_pipeline

COLOUR = np.full((30, 44, 3), (40, 90, 160), np.uint8)
WARM = np.full((30, 44), 20, np.uint8)
WARM[10:20, 10:20] = 250


@pytest.fixture
def pipeline():
    """Of the maximum."""
    return build_pipeline(MethodEngine(method("max")))


def test_the_pipeline_keeps_the_colour_and_claims_no_label(pipeline):
    result = pipeline(COLOUR, WARM)
    assert result.scores == ()
    assert result.objects == ()
    assert result.illumination == "unknown"
    luma = cv2.cvtColor(result.fused, cv2.COLOR_BGR2GRAY)
    assert luma[15, 15] > luma[25, 25] + 80
    assert (result.fused[25, 25] == COLOUR[25, 25]).all()
    assert result.attention[15, 15] > 0.9
    assert result.attention[25, 25] < 0.1


def test_one_camera_alone_is_shown_as_it_is(pipeline):
    assert (pipeline(None, WARM).fused == pipeline(None, WARM).fused).all()
    assert (pipeline(COLOUR, None).fused == COLOUR).all()


def test_the_luma_of_every_colour_is_that_of_bt_601():
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    red, green, blue = (plane.reshape(1, -1) for plane in np.meshgrid(levels, levels, levels))
    dark = np.zeros((1, 1, 1, red.size), np.uint8)
    found = MethodEngine(method("max")).infer(np.stack([red, green, blue])[None], dark).fused[0, 0]
    weighted = 299 * red.astype(int) + 587 * green.astype(int) + 114 * blue.astype(int)
    assert np.abs(found.astype(int) * 1000 - weighted).max() <= 500


def write_pair(folder, name="a"):
    for camera, image in (("visible", COLOUR), ("thermal", WARM)):
        (folder / camera).mkdir(exist_ok=True)
        cv2.imwrite(str(folder / camera / f"{name}.png"), image)


def test_fuse_by_a_method(tmp_path):
    write_pair(tmp_path)
    code = main(["fuse", "--visible", f"{tmp_path}/visible", "--thermal", f"{tmp_path}/thermal", "--method", "max",
                 "--out", f"{tmp_path}/out", "--json", f"{tmp_path}/out.json"])  # fmt: skip
    assert code == 0
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["model"] == "method-max"
    assert written["frames"][0]["scores"] == {}
    assert cv2.imread(f"{tmp_path}/out/a.png").shape == COLOUR.shape


def test_fuse_names_an_unknown_method(tmp_path, capsys):
    write_pair(tmp_path)
    assert main(["fuse", "--visible", f"{tmp_path}/visible", "--thermal", f"{tmp_path}/thermal", "--method", "best",
                 "--out", f"{tmp_path}/out"]) == 2  # fmt: skip
    assert "no fusion method is called 'best'; expected one of" in capsys.readouterr().err


def test_evaluate_fusion_ranks_methods_beside_the_model(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for camera in ("visible", "thermal"):
        (tmp_path / camera).mkdir()
        for name in ("a", "b"):
            image = cv2.resize(rng.integers(0, 256, (12, 16), np.uint8), (64, 48), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(f"{tmp_path}/{camera}/{name}.png", image)
    code = main(["evaluate", "fusion", "--visible", f"{tmp_path}/visible", "--thermal", f"{tmp_path}/thermal",
                 "--methods", "gtf,laplacian,max", "--json", f"{tmp_path}/out.json", "--jobs", "1",
                 "--report", f"{tmp_path}/page"])  # fmt: skip
    assert code == 0, capsys.readouterr().err
    written = json.loads((tmp_path / "out.json").read_text())
    assert set(written["methods"]) == {"vi_fusion", "VIS", "IR", "AVG", "MAX", "gtf", "laplacian"}
    assert written["fusion_methods"]["max"]["row"] == "MAX"
    assert written["fusion_methods"]["gtf"]["faithful"] == "published"
    assert (tmp_path / "page" / "index.html").is_file()


def test_the_list_has_times(tmp_path, capsys, monkeypatch):
    for name in set(METHODS) - {"max", "laplacian", "deepfuse-ae"}:  # the others take seconds to minutes
        monkeypatch.delitem(METHODS, name)
    assert main(["methods", "--json", f"{tmp_path}/list.json"]) == 0
    written = json.loads((tmp_path / "list.json").read_text())
    assert written["pipeline_ms_640x480"].keys() == {"network", "max", "laplacian"}
    assert all(milliseconds > 0 for milliseconds in written["pipeline_ms_640x480"].values())
    rows = written["methods"]
    assert rows["max"]["parameters"] == 0
    assert rows["max"]["ms_640x480"] > 0
    assert rows["deepfuse-ae"]["ms_640x480"] is None
    said = capsys.readouterr().out
    assert "laplacian" in said
    assert "method deepfuse-ae has no weights here; expected: --weights FILE" in said
