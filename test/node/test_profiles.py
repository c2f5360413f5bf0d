"""Profiles: each sets what its page says, between the defaults and the user's file, and keeps what it promises."""

from __future__ import annotations

import math
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from vi_fusion_ros.evaluation.metrics.flicker import flicker_of, lumas
from vi_fusion_ros.node import launch_support
from vi_fusion_ros.node.parameters import schema
from vi_fusion_ros.pipeline import load_pipeline
from vi_fusion_ros.resources import share_path
from vi_fusion_ros.sync.pairing import NearestPairing, PairingPolicy
from vi_fusion_ros.thermal import Radiometry
from vi_fusion_ros.types import HOT_REGION

FOLDER = share_path() / "config" / "profiles"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "profiles.md"
NAMES = ["aerial", "driving", "inspection", "search_and_rescue", "surveillance"]
MS = 10**6
SIZE = (256, 320)


def settings_of(name, **changed):
    return {**schema.from_file(FOLDER / f"{name}.yaml"), "thermal.radiometry": "tlinear_0.01", **changed}


def smooth(rng, low, high, sigma=12):
    field = cv2.GaussianBlur(rng.random(SIZE).astype(np.float32), (0, 0), sigma)
    return cv2.normalize(field, None, low, high, cv2.NORM_MINMAX)


def test_the_profiles_are_those_of_the_launch_file():
    assert launch_support.profiles() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_each_parameter_with_its_value_and_a_reason(name):
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)[1]
    assert "Promised: " in section
    rows = re.findall(r"^\| `([\w.]+)` \| `([^`]*)` \| (.+) \|$", section, re.MULTILINE)
    (parameters,) = [node["ros__parameters"] for node in yaml.safe_load((FOLDER / f"{name}.yaml").read_text()).values()]
    assert {parameter: yaml.safe_load(value) for parameter, value, _ in rows} == parameters
    schema.from_file(FOLDER / f"{name}.yaml")  # every name and value is one that the node takes


def test_a_profile_lies_over_the_defaults_and_under_the_users_file(tmp_path):
    own = str(share_path() / "config" / "fusion.yaml")
    driving = str(FOLDER / "driving.yaml")
    mine = tmp_path / "mine.yaml"
    mine.write_text("/**:\n  ros__parameters: {queue_depth: 5}\n")
    assert launch_support.parameter_files("", own) == [own]
    assert launch_support.parameter_files("driving", own) == [own, driving]
    assert launch_support.parameter_files("driving", str(mine)) == [driving, str(mine)]

    def of(params_file):
        files = launch_support.parameter_files("driving", params_file)
        return launch_support.files_parameters(files, "/fusion_node")

    assert (of(own)["queue_depth"], of(own)["pairing.max_skew"], of(own)["threads"]) == (1, 0.02, 2)
    assert (of(str(mine))["queue_depth"], of(str(mine))["pairing.max_skew"]) == (5, 0.02)


def test_a_profile_that_there_is_not_is_told_in_one_sentence():
    with pytest.raises(ValueError, match="argument profile is 'racing'; expected one of aerial, driving") as error:
        launch_support.parameter_files("racing", "p.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["driving", "aerial"])
@pytest.mark.parametrize(("skew_ms", "fused"), [(18, 10), (22, 0)])
def test_driving_and_aerial_never_fuse_images_more_than_20_ms_apart(name, skew_ms, fused):
    settings = settings_of(name)
    bounds = (round(settings[key] * 1e9) for key in ("pairing.max_skew", "pairing.max_wait"))
    pairing, pairs = NearestPairing(PairingPolicy(*bounds)), []
    for n in range(1, 11):
        for camera, stamp in (("visible", n * 100 * MS), ("thermal", (n * 100 + skew_ms) * MS)):
            pairs += pairing.add(camera, n, stamp, stamp)
    pairs += pairing.flush(2000 * MS)
    assert len([pair for pair in pairs if pair.visible is not None and pair.thermal is not None]) == fused
    assert settings["queue_depth"] == 1  # of what waits the newest is fused


def test_surveillance_frames_of_an_empty_scene_differ_only_by_noise():
    rng = np.random.default_rng(0)
    visible, kelvin = smooth(rng, 20, 90), smooth(rng, 28000, 28100)  # 1 K: a yard at night
    pipeline = load_pipeline(threads=1, settings=settings_of("surveillance"))
    frames = []
    for _ in range(12):
        grey = np.clip(visible + rng.normal(0, 3, SIZE), 0, 255).astype(np.uint8)
        thermal = (kelvin + rng.normal(0, 5, SIZE)).astype(np.uint16)
        frames.append(lumas(pipeline(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), thermal)))
    row = flicker_of(frames)["fused"]
    assert row["local"] < 0.6  # grey levels of 255; nobody sees it
    halves = [np.mean([frame["fused"] for frame in part], axis=0) for part in (frames[:6], frames[6:])]
    assert abs(float((halves[1] - halves[0]).mean())) < 0.5  # nor does it drift


def in_smoke(**changed):
    """The result of the profile for a hot region of 0.3 % behind smoke, and its box: left, upper, right, lower."""
    rng = np.random.default_rng(1)
    smoke = smooth(rng, 140, 170) + rng.normal(0, 2, SIZE)
    thermal = smooth(rng, 29300, 29700) + rng.normal(0, 5, SIZE)
    side = round((0.003 * SIZE[0] * SIZE[1]) ** 0.5)  # 0.3 % of the picture
    thermal[120 : 120 + side, 200 : 200 + side] = 30800
    visible = cv2.cvtColor(np.clip(smoke, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    pipeline = load_pipeline(threads=1, settings=settings_of("search_and_rescue", **changed))
    return pipeline(visible, thermal.astype(np.uint16)), (200, 120, 200 + side, 120 + side)


def test_search_and_rescue_a_hot_region_in_smoke_stands_out_in_the_fused_picture():
    result, (x0, y0, x1, y1) = in_smoke()
    hot, side = np.s_[y0:y1, x0:x1], x1 - x0
    images = lumas(result)
    around = np.zeros(SIZE, bool)
    around[120 - side : 120 + 2 * side, 200 - side : 200 + 2 * side] = True
    around[120 - 4 : 124 + side, 200 - 4 : 204 + side] = False
    stands_out = {name: float(images[name][hot].mean() - images[name][around].mean()) for name in ("visible", "fused")}
    assert abs(stands_out["visible"]) < 10  # the smoke hides it
    assert stands_out["fused"] > 25
    assert stands_out["fused"] > 4 * images["fused"][around].std()


@pytest.mark.parametrize("radiometry", ["tlinear_0.01", "none"])
def test_search_and_rescue_a_hot_region_in_smoke_is_listed_once(radiometry):
    """By the rule, or by the model where it knows it."""
    result, box = in_smoke(**{"thermal.radiometry": radiometry})
    (found,) = [found for found in result.objects if overlap(found.box, box) > 0.3]
    if found.label == HOT_REGION:
        assert overlap(found.box, box) > 0.8
        assert math.isnan(found.probability)
    assert found.max_kelvin == pytest.approx(math.nan if radiometry == "none" else 308, nan_ok=True)
    assert [other for other in result.objects if other.label == HOT_REGION and other is not found] == []


def overlap(a, b):
    """Intersection over union."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@pytest.mark.parametrize("tone_mapping", ["percentile", "plateau", "local", "range"])
def test_inspection_temperatures_never_pass_through_tone_mapping(tone_mapping):
    rng = np.random.default_rng(2)
    thermal = smooth(rng, 29000, 33000).astype(np.uint16)
    changed = {"thermal.tone_mapping": tone_mapping, "thermal.range": [295.0, 300.0]}
    settings = settings_of("inspection", **(changed if tone_mapping != "percentile" else {}))
    pipeline = load_pipeline(threads=1, settings=settings)
    visible = cv2.cvtColor(smooth(rng, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    for _ in range(2):
        result = pipeline(visible, thermal)
    np.testing.assert_array_equal(result.thermal_registered, thermal)
    kelvin = pipeline.radiometry.kelvin(result.thermal_registered)
    np.testing.assert_array_equal(kelvin, Radiometry(0.01).kelvin(thermal))
