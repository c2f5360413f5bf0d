"""``evaluate presence`` and ``detection``: real files of several layouts, real models, in folders and zip files."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import cv2
import layout_maker
import numpy as np
import pytest
from chromium import opened as opened_page

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
from vi_fusion_ros import cli
from vi_fusion_ros.evaluation import labelled_sets
from vi_fusion_ros.evaluation.labelled_sets import WantedSet

tiny_model = pytest.importorskip("tiny_model", reason="the package onnx is not installed")

LABELS = ["person", "car"]  # of the visible image's bright places, and of the thermal image's warm ones
ABOUT = {"labels": LABELS, "thresholds": {"person": 0.5, "car": 0.5}, "temperature": dict.fromkeys(
    ("both", "visible_only", "thermal_only"), 1.0)}  # fmt: skip
WIDTH, HEIGHT = 96, 64
PLACES = {"person": (2, 3), "car": (7, 4)}
"""Column and row of the bright place that stands for an object."""


@pytest.fixture(scope="module")
def boxes_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "boxes.onnx"
    return tiny_model.write_model(path, ABOUT, outputs=tiny_model.WITH_OBJECTS)


@pytest.fixture(scope="module")
def presence_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write_model(tmp_path_factory.mktemp("model") / "presence.onnx", ABOUT)


def box_at(label: str) -> list[float]:
    """The box that the tiny model finds where this label's place is bright."""
    column, row = PLACES[label]
    left, up, right, down = tiny_model.SIDES["bright" if label == "person" else "warm"]
    x, y = (column + 0.5) * 8, (row + 0.5) * 8
    return [x - left, y - up, x + right, y + down]


def write_pair(root: Path, name: str, shown: dict[str, float]) -> None:
    """A dark pair; of each label shown, a place of this brightness in the image of its camera."""
    for camera, label in (("visible", "person"), ("thermal", "car")):
        image = np.full((HEIGHT, WIDTH), 40, np.uint8)
        if label in shown:
            column, row = PLACES[label]
            image[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = shown[label] * 255
        (root / camera).mkdir(parents=True, exist_ok=True)
        pixels = image if camera == "thermal" else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        assert cv2.imwrite(str(root / camera / f"{name}.png"), pixels)


def write_frames(root: Path, frames: list[tuple[dict[str, float], list[str], str]]) -> Path:
    """A RoadScene folder of (shown, truly there, day or night)."""
    entries = []
    for number, (shown, there, light) in enumerate(frames):
        write_pair(root, f"f{number}", shown)
        objects = [{"class": label, "box_xyxy": box_at(label)} for label in there]
        entries.append({"frame": f"f{number}", "day_night": light, "labelled": True, "objects": objects})
    (root / "frames.json").write_text(json.dumps(entries))
    return root


FRAMES: list[tuple[dict[str, float], list[str], str]] = [
    ({"person": 1.0, "car": 0.9}, ["person", "car"], "day"),
    ({"person": 0.9}, ["person"], "day"),
    ({"car": 0.8}, ["car"], "night"),
    ({"person": 0.7}, [], "night"),
]
"""The last is a false alarm of a person, less sure than the true ones."""


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("data") / "street", FRAMES)


def zipped(folder: Path, into: Path) -> Path:
    return Path(shutil.make_archive(str(into / folder.name), "zip", folder))


def run(kind: str, model: Path, out: Path, *more: object) -> dict:
    arguments = ["evaluate", kind, *map(str, more), "--model", str(model), "--json", str(out), "--jobs", "1"]
    assert cli.main(arguments) == 0
    return json.loads(out.read_text())


def sentence(kind: str, model: Path, capsys: pytest.CaptureFixture[str], *more: object) -> str:
    arguments = ["evaluate", kind, *map(str, more), "--model", str(model), "--json", "never.json", "--jobs", "1"]
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not Path("never.json").exists()
    return error


def test_boxes_by_label_light_and_camera(street: Path, boxes_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    result = run("detection", boxes_model, tmp_path / "out.json", "--data", street)
    assert (result["n"], result["labels"], list(result["sets"])) == (4, LABELS, ["street"])
    found = result["sets"]["street"]
    both = found["conditions"]["both"]
    assert both["labels"]["person"]["objects"] == 2
    assert both["labels"]["person"]["ap50"] == both["labels"]["car"]["ap50"] == both["ap50"] == pytest.approx(1)
    assert both["labels"]["person"]["sizes"]["small"]["objects"] == 2
    low, high = both["labels"]["person"]["ci95"]["ap50"]
    assert low <= 1 <= high
    # Both true persons come before the false one: nothing is missed below its quarter of an alarm a frame.
    assert both["labels"]["person"]["log_average_miss_rate"] == pytest.approx(0, abs=1e-6)
    # A person is to be seen by the visible camera alone, a car by the thermal one alone.
    assert found["conditions"]["visible_black"]["labels"]["person"]["ap50"] == 0
    assert found["conditions"]["visible_black"]["labels"]["car"]["ap50"] == pytest.approx(1)
    assert found["conditions"]["thermal_black"]["labels"]["car"]["ap50"] == 0
    assert found["day"]["both"]["n"] == found["night"]["both"]["n"] == 2
    assert found["night"]["both"]["labels"]["person"]["objects"] == 0
    assert found["night"]["both"]["labels"]["person"]["ap50"] is None
    assert result["all"]["conditions"]["both"]["ap50"] == both["ap50"]


def test_boxes_are_judged_down_to_a_probability_that_nobody_is_told(street: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    deaf = {**ABOUT, "objects": {"thresholds": dict.fromkeys(LABELS, 1.0)}}
    model = tiny_model.write_model(tmp_path / "deaf.onnx", deaf, outputs=tiny_model.WITH_OBJECTS)
    result = run("detection", model, tmp_path / "out.json", "--data", street)
    assert result["all"]["conditions"]["both"]["ap50"] == pytest.approx(1)


def test_frames_without_boxes_for_what_they_show_are_left_out(boxes_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    root = write_frames(tmp_path / "street", FRAMES)
    entries = json.loads((root / "frames.json").read_text())
    entries[3]["labelled"] = False  # the false alarm may be right
    (root / "frames.json").write_text(json.dumps(entries))
    assert run("detection", boxes_model, tmp_path / "out.json", "--data", root)["n"] == 3


def test_zip_files_ranges_and_several_sets(street: Path, boxes_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    archive = zipped(street, tmp_path)
    out = tmp_path / "out.json"
    sets = ("--data", archive, "--range", 1, 2, "--range", 3, 4, "--data", street, "--layout", "roadscene")
    result = run("detection", boxes_model, out, *sets)
    assert {name: row["n"] for name, row in result["sets"].items()} == {
        f"{archive}, 1 to 2 and 3 to 4": 2,
        f"{street}": 4,
    }
    assert [row["ranges"] for row in result["sets"].values()] == [[[1, 2], [3, 4]], []]
    assert result["all"]["conditions"]["both"]["n"] == result["n"] == 6
    assert not [
        path for path in tmp_path.iterdir() if path not in (archive, out)
    ]  # nothing is left of what was unpacked


def test_presence_by_set_light_and_camera(street: Path, presence_model: Path, tmp_path: Path) -> None:
    rows = [(40, {"person": 1, "car": 0, "bicycle": ""}), (250, {"person": 0, "car": "", "bicycle": 1})]
    table = ["frame,time,person,car,bicycle"]
    for number, (grey, labels) in enumerate(rows):
        for camera in ("visible", "thermal"):
            (tmp_path / f"campus/{camera}").mkdir(parents=True, exist_ok=True)
            image = np.full((48, 64), 250 if camera == "visible" and number == 0 else grey, np.uint8)
            cv2.imwrite(str(tmp_path / f"campus/{camera}/{number + 1:05d}N.png"), image)
        table.append(f"{number + 1:05d}N,night,{labels['person']},{labels['car']},{labels['bicycle']}")
    (tmp_path / "campus/presence.csv").write_text("\n".join(table))
    result = run("presence", presence_model, tmp_path / "out.json", "--data", street, "--data", tmp_path / "campus")
    assert list(result["sets"]) == ["street", "campus"]
    campus = result["sets"]["campus"]
    assert campus["layout"] == "presence"
    both = campus["conditions"]["both"]["labels"]
    assert (both["person"]["present"], both["person"]["absent"]) == (1, 1)
    assert (both["car"]["present"], both["car"]["absent"]) == (0, 1)  # one is unknown
    assert both["car"]["roc_auc"] is None
    assert both["person"]["recall"] == 1
    assert campus["day"]["both"] == {"n": 0}
    assert campus["night"]["both"]["n"] == 2
    pooled = result["all"]["conditions"]["both"]["labels"]["person"]
    street_row = result["sets"]["street"]["conditions"]["both"]["labels"]["person"]
    assert pooled["present"] == street_row["present"] + 1
    mean = result["mean_of_sets"]["both"]
    assert mean["n"] == 2
    assert mean["labels"]["person"]["recall"] == pytest.approx((street_row["recall"] + 1) / 2)
    assert result["thresholds"]["both"] == {"person": 0.5, "car": 0.5}


def single(root: Path) -> Path:
    """Two sets of one camera alone: in the first another vehicle is not to be counted, the second is not complete."""
    entries = []
    for camera, name, number in (("visible", "town", 0), ("visible", "town", 1), ("thermal", "drone", 0)):
        file = f"{camera}/{name}/{number}.png"
        label = "person" if camera == "visible" else "car"
        write_pair(root / "made", "x", {label: 0.9})
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(root / "made" / camera / "x.png", root / file)
        objects = [{"class": label, "box_xyxy": box_at(label)}]
        if number:
            objects = [{"class": "ignore", "box_xyxy": box_at(label)}]
        light = "night" if camera == "thermal" else "day"
        entry = {"file": file, "camera": camera, "complete": name == "town", "day_night": light, "objects": objects}
        entries.append(entry)
    shutil.rmtree(root / "made")
    (root / "frames.json").write_text(json.dumps(entries))
    return root


def test_images_of_one_camera_have_the_other_missing(boxes_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    root = single(tmp_path / "alone")
    sets = ("--data", root, "--layout", "single")
    result = run("presence", boxes_model, tmp_path / "presence.json", *sets)
    assert {name: row["n"] for name, row in result["sets"].items()} == {"drone": 1, "town": 2}
    town = result["sets"]["town"]["conditions"]
    assert {name: row["n"] for name, row in town.items()} == {"both": 0, "visible_black": 0, "thermal_black": 2}
    assert result["sets"]["drone"]["conditions"]["visible_black"]["labels"]["car"]["present"] == 1
    assert result["all"]["conditions"]["thermal_black"]["n"] == 2
    boxes = run("detection", boxes_model, tmp_path / "boxes.json", *sets)["sets"]
    # What was found on the other vehicle is no false alarm, and neither is anything in the set that is not complete.
    assert boxes["town"]["conditions"]["thermal_black"]["labels"]["person"]["ap50"] == pytest.approx(1)
    assert boxes["town"]["conditions"]["both"] == {"n": 0}
    assert boxes["drone"]["conditions"]["visible_black"]["labels"]["car"]["ap50"] == pytest.approx(1)


def test_cross_says_the_same(street: Path, boxes_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    root = single(tmp_path / "alone")
    report = ("--report", tmp_path / "report")
    cross = run("cross", boxes_model, tmp_path / "cross.json", street, f"single={root}", *report)
    rows = cross["datasets"]
    presence = run("presence", boxes_model, tmp_path / "presence.json", "--data", street)["sets"]["street"]
    boxes = run("detection", boxes_model, tmp_path / "boxes.json", "--data", street)["sets"]["street"]
    for part in ("conditions", "day", "night"):
        assert rows["street"]["presence"][part] == presence[part]
        assert rows["street"]["detection"][part] == boxes[part]
    alone = rows["alone"]
    assert (alone["fusion"], alone["classification"], alone["n"]) == (None, None, 3)
    assert alone["presence"]["conditions"]["thermal_black"]["n"] == 2
    assert alone["detection"]["conditions"]["visible_black"]["labels"]["car"]["objects"] == 1
    assert cross["spread"]["detection"]["ap50"]["highest"] == "street"
    assert "Presence and boxes" in (tmp_path / "report/index.html").read_text()


@pytest.fixture
def steady_detector(tmp_path: Path) -> Path:
    """Weights of ``mlf-cnn`` that find one person with 0.9 and one car with 0.001, whatever they are shown."""
    onnx = pytest.importorskip("onnx", reason="onnx writes the file")
    value, constant = onnx.helper.make_tensor_value_info, onnx.numpy_helper.from_array
    boxes = np.array([[box_at("person"), box_at("car")]], np.float32) * (640 / WIDTH)
    given = [value(f"{camera}{stride}", 1, [1, None, None, None]) for camera in "vt" for stride in (4, 8, 16)]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", [f"{name}_held"], [name]) for name in ("boxes", "probabilities")],
        "steady",
        given,
        [value("boxes", 1, [1, 2, 4]), value("probabilities", 1, [1, 2])],
        [constant(boxes, "boxes_held"), constant(np.array([[0.9, 0.001]], np.float32), "probabilities_held")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    about = {"methods": "mlf-cnn", "faithful": "made up", "labels": ",".join(LABELS)}
    onnx.helper.set_model_props(model, {f"vi_fusion.{key}": text for key, text in about.items()})
    onnx.save(model, str(tmp_path / "steady.onnx"))
    return tmp_path / "steady.onnx"


def test_a_detector_is_judged_beside_the_model(
    street: Path, boxes_model: Path, steady_detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    sets = ("--data", street, "--data", single(tmp_path / "alone"), "--layout", "single")
    alone = run("detection", boxes_model, tmp_path / "alone.json", *sets)
    assert "methods" not in alone
    more = ("--methods", "mlf-cnn", "--weights", steady_detector, "--report", tmp_path / "report")
    result = run("detection", boxes_model, tmp_path / "out.json", *sets, *more)
    row = result.pop("methods")["mlf-cnn"]
    assert result == alone, "what is said of our model stays the same"
    assert (row["kind"], row["faithful"], row["weights"]) == ("detector", "made up", "steady.onnx")
    both = row["sets"]["street"]["conditions"]["both"]
    # Of four boxes, all as sure and so in the order of the frames, the first two are persons; cars are never found.
    assert both["labels"]["person"]["ap50"] == pytest.approx(1)
    assert both["labels"]["car"]["ap50"] == 0
    assert row["sets"]["street"]["conditions"]["visible_black"]["labels"]["person"]["ap50"] > 0
    for name, part in row["sets"].items():
        for condition, found in part["conditions"].items():
            assert found["n"] == alone["sets"][name]["conditions"][condition]["n"]
    assert "method mlf-cnn: made up" in capsys.readouterr().out
    assert "mlf-cnn: two streams" in (tmp_path / "report" / "index.html").read_text()


def test_a_detector_that_cannot_be_judged_is_one_sentence(
    street: Path, boxes_model: Path, steady_detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    given = ("--data", street)
    said = sentence("detection", boxes_model, capsys, *given, "--methods", "gtf")
    assert "no method that finds objects is called 'gtf'; expected one of mlf-cnn" in said
    said = sentence("detection", boxes_model, capsys, *given, "--weights", steady_detector)
    assert "steady.onnx goes with --methods; expected both" in said
    other = tiny_model.write_model(
        tmp_path / "boats.onnx",
        {**ABOUT, "labels": ["boat", "car"], "thresholds": {"boat": 0.5, "car": 0.5}},
        outputs=tiny_model.WITH_OBJECTS,
    )
    shown = run("detection", other, tmp_path / "out.json", *given, "--methods", "mlf-cnn", "--weights", steady_detector)
    assert shown["methods"]["mlf-cnn"]["all"]["conditions"]["both"]["labels"]["car"]["ap50"] == 0


def test_boxes_without_pycocotools_are_one_sentence(
    street: Path,
    boxes_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pycocotools" else found(name))
    said = sentence("detection", boxes_model, capsys, "--data", street)
    assert "needs pycocotools; install it: pip install pycocotools" in said
    row = run("cross", boxes_model, tmp_path / "cross.json", street)["datasets"]["street"]
    assert row["detection"] is None
    assert row["presence"]["conditions"]["both"]["n"] == 4
    assert "pycocotools" in row["problems"][0]


@pytest.mark.parametrize("kind", ["presence", "detection"])
def test_the_report_opens(kind: str, street: Path, boxes_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    root = single(tmp_path / "alone")
    report = tmp_path / "report"
    run(
        kind,
        boxes_model,
        tmp_path / "out.json",
        "--data",
        street,
        "--data",
        root,
        "--layout",
        "single",
        "--report",
        report,
    )
    page = (report / "index.html").read_text()
    for text in ("street", "town", "drone", "both cameras, night", "visible alone", "All sets together", "vi-fusion"):
        assert text in page
    assert page.count("<img") >= 3
    assert opened_page(report / "index.html") == page.count("<img")


def test_what_was_left_out_is_said(street: Path, boxes_model: Path, tmp_path: Path) -> None:
    root = tmp_path / "street"
    shutil.copytree(street, root)
    (root / "thermal/f1.png").write_bytes(b"no image")
    result = run("presence", boxes_model, tmp_path / "out.json", "--data", root)
    assert result["partial"]
    assert "f1.png" in result["problems"][0]
    assert (result["n"], result["sets"]["street"]["partial"]) == (3, True)


def test_bad_input_is_one_sentence(
    street: Path, boxes_model: Path, presence_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "has no output of objects" in sentence("detection", presence_model, capsys, "--data", street)
    layout_maker.msrs(tmp_path / "msrs")
    model = tiny_model.write_model(tmp_path / "m.onnx", ABOUT, outputs=tiny_model.WITH_OBJECTS)
    assert "none of its 4 frames has a box of car, person" in sentence(
        "detection", model, capsys, "--data", tmp_path / "msrs"
    )
    far = sentence("presence", boxes_model, capsys, "--data", street, "--range", 50, 60)
    assert "none of its 4 samples lies in 50 to 60; expected a part of 1 to 4" in far
    assert "LOW below HIGH" in sentence("presence", boxes_model, capsys, "--data", street, "--range", 3, 3)
    twice = sentence("presence", boxes_model, capsys, "--data", street, "--data", street)
    assert "is given twice" in twice
    (tmp_path / "broken.zip").write_bytes(b"PK no archive")
    assert "cannot be unpacked" in sentence("presence", boxes_model, capsys, "--data", tmp_path / "broken.zip")
    assert "no such folder" in sentence("presence", boxes_model, capsys, "--data", tmp_path / "nowhere.zip")
    alone = single(tmp_path / "alone")
    said = sentence("classification", boxes_model, capsys, "--data", alone, "--layout", "single")
    assert "vi-fusion evaluate presence judges" in said


@pytest.mark.parametrize("option", ["--layout", "--range"])
def test_an_option_of_a_set_stands_behind_it(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    value = ["roadscene"] if option == "--layout" else ["1", "2"]
    with pytest.raises(SystemExit):
        cli.main(["evaluate", "presence", option, *value, "--data", "somewhere", "--json", "never.json"])
    assert f"expected after the --data that {option} is about" in capsys.readouterr().err


def test_every_classified_layout_can_be_opened(tmp_path: Path) -> None:
    for name in ("kaist", "llvip", "m3fd", "msrs"):
        layout_maker.MAKERS[name](tmp_path / name)
    wanted = [WantedSet(tmp_path / name) for name in ("kaist", "llvip", "m3fd", "msrs")]
    with labelled_sets.opened(wanted) as sets:
        assert [one.layout for one in sets] == ["kaist", "llvip", "m3fd", "msrs"]
        assert [len(one.samples) for one in sets] == [4] * 4
