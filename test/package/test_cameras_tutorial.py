"""The drivers of docs/tutorials/cameras.md: what is given to the launch file and the parameter file can be given."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from vi_fusion_ros.images.telemetry import Telemetry
from vi_fusion_ros.node.parameters import schema
from vi_fusion_ros.thermal.camera import ThermalCamera

ROOT = Path(__file__).resolve().parents[2]
SECTION = (
    (ROOT / "docs" / "tutorials" / "cameras.md").read_text(encoding="utf-8").partition("## My driver publishes")[2]
)
TEN = ("usb_cam", "v4l2_camera", "camera_ros", "realsense2", "spinnaker", "depthai", "flir_boson", "Lepton", "Seek")
TEN += ("Optris",)
SCALES = schema.schema()["thermal.radiometry"]["enum"]


def rows(heads):
    """The rows of the table with these columns, by their first column."""
    _, _, table = SECTION.partition("| " + " | ".join(heads) + " |\n")
    lines = table.partition("\n\n")[0].splitlines()[1:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(heads, row, strict=True)) for row in cells}


VISIBLE = rows(("driver", "start it", "images", "give"))
THERMAL = rows(("camera, driver", "start it", "images", "give", "parameters"))


def spans(text):
    return re.findall(r"`([^`]+)`", text)


def variants(cell):
    """The sets of parameters that a cell offers: each scale begins one; parameters in front of the first are of all."""
    found, common = [], {}
    for span in spans(cell):
        name, _, value = span.partition(": ")
        if name in SCALES or name == "thermal.radiometry":
            found.append({"thermal.radiometry": value or name})
        elif value:
            (found[-1] if found else common)[name] = yaml.safe_load(value)
    return [{**common, **one} for one in found or [common]]


def test_the_ten_drivers_are_there_each_with_a_line_that_starts_it():
    known = {**VISIBLE, **THERMAL}
    for driver in TEN:
        line = next(row["start it"] for name, row in known.items() if driver in name)
        assert spans(line)[0].startswith("ros2 ") or "driver_node.launch.py" in spans(line)[0], driver


@pytest.mark.parametrize("name", [*VISIBLE, *THERMAL])
def test_what_is_given_to_the_launch_file_are_arguments_of_it(name):
    tree = ast.parse((ROOT / "launch" / "fusion.launch.py").read_text(encoding="utf-8"))
    (arguments,) = (
        [ast.literal_eval(key) for key in node.value.keys]
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ARGUMENTS"
    )
    cell = {**VISIBLE, **THERMAL}[name]["give"]
    given = re.findall(r"(\w+):=", cell)
    assert given or cell == "the same"
    assert set(given) <= set(arguments)


@pytest.mark.parametrize("name", THERMAL)
def test_every_preset_is_a_parameter_file_that_is_taken(name, tmp_path):
    for number, values in enumerate(variants(THERMAL[name]["parameters"])):
        file = tmp_path / f"{number}.yaml"
        file.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}))
        settings = schema.from_file(file)
        assert {key: settings[key] for key in values} == values
        assert Telemetry.of(settings).kind == settings["thermal.telemetry"]
        radiometry = ThermalCamera(settings).radiometry
        assert (radiometry is None) is (settings["thermal.radiometry"] in ("rig", "raw14", "agc8")), values


def test_the_presets_give_the_temperatures_that_the_drivers_send():
    def celsius(name, count, number=0):
        values = variants(next(row["parameters"] for key, row in THERMAL.items() if name in key))[number]
        camera = ThermalCamera({**schema.defaults(), **values})
        return float(camera.radiometry.kelvin(np.array([[count]]))[0, 0]) - 273.15

    assert celsius("Optris", 1250) == pytest.approx(25, abs=1e-3)
    assert celsius("Seek", 36.5) == pytest.approx(36.5, abs=1e-3)
    assert celsius("temp_mode:=c", 36.5) == pytest.approx(36.5, abs=1e-3)
    assert celsius("Lepton", 29815) == pytest.approx(25, abs=1e-3)
    assert celsius("Lepton", 2981.5, 1) == pytest.approx(25, abs=1e-3)
    assert celsius("A3x5", 2981.5, 1) == pytest.approx(25, abs=1e-3)
    assert celsius("AX5 with counts", 745.375, 1) == pytest.approx(25, abs=1e-3)
