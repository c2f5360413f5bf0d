import dataclasses

import pytest

from vi_fusion_ros.doctor.findings import Level
from vi_fusion_ros.doctor.topics import ProbedTopic, judge
from vi_fusion_ros.registration.rig import Rig
from vi_fusion_ros.resources import share_path

S = 1_000_000_000
START = 1_700_000_000 * S


def look(name, rate=30.0, late_s=0.005, stamp_shift_s=0.0, **changes):
    """A camera of 3 s as it should be; ``stamp_shift_s`` puts its stamps aside."""
    times = [START + round(n / rate * S) for n in range(round(3 * rate))]
    fields = {
        "topic": f"/{name}/image",
        "types": ("sensor_msgs/msg/Image",),
        "publishers": ("reliable, volatile",),
        "stamps_ns": [t + round(stamp_shift_s * S) for t in times],
        "arrivals_ns": [t + round(late_s * S) for t in times],
        "encodings": {"bgr8" if name == "visible" else "mono16"},
        "sizes": {(640, 480)},
    }
    return ProbedTopic(**{**fields, **changes})


def findings(rig=None, **looks):
    cameras = {"visible": look("visible"), "thermal": look("thermal"), **looks}
    return list(judge(cameras, 3.0, rig))


def worst(found):
    return max(found, key=lambda finding: finding.level)


def test_two_good_cameras_have_nothing_to_mend():
    found = findings()
    assert worst(found).level == Level.OK
    assert any("30.0 Hz, bgr8, 640x480, reliable, volatile" in finding.says for finding in found)
    assert any("90 of 90 images" in finding.says for finding in found)


def test_a_slower_camera_is_no_fault():
    found = findings(thermal=look("thermal", rate=9.0))
    assert worst(found).level == Level.OK


@pytest.mark.parametrize(
    ("changes", "level", "says"),
    [
        ({"types": ()}, Level.ERROR, "no such topic"),
        ({"types": ("sensor_msgs/msg/PointCloud2",)}, Level.ERROR, "of type sensor_msgs/msg/PointCloud2"),
        ({"publishers": ()}, Level.ERROR, "nobody publishes it"),
        ({"publishers": ("reliable, volatile",) * 2}, Level.WARNING, "2 publishers"),
        ({"stamps_ns": [], "arrivals_ns": []}, Level.ERROR, "no image in 3 s"),
        ({"stamps_ns": [0] * 90}, Level.ERROR, "all zero"),
        ({"stamps_ns": [START] * 90}, Level.ERROR, "do not change"),
        ({"sizes": {(640, 480), (320, 240)}}, Level.WARNING, "change their size: 320x240 and 640x480"),
        ({"encodings": {"bgr8"}}, Level.WARNING, "in bgr8"),
        ({"encodings": {"mono8"}}, Level.NOTE, "8 bit"),
        ({"faults": ["image step 3 is too small"]}, Level.ERROR, "image step 3 is too small"),
        ({"lost_depth": "has kept 8 of the 16 bits"}, Level.WARNING, "has kept 8 of the 16 bits"),
    ],
)
def test_what_is_wrong_with_one_camera(changes, level, says):
    found = worst(findings(thermal=look("thermal", **changes)))
    assert found.level == level
    assert says in found.says
    assert found.advice


def test_a_topic_that_is_not_there_is_answered_with_those_that_are():
    (missing, *_) = findings(visible=look("visible", types=(), images_on_graph=("/cam/rgb/image_raw",)))
    assert "/cam/rgb/image_raw" in missing.advice


def test_stamps_of_two_clocks_have_no_partners():
    found = findings(thermal=look("thermal", stamp_shift_s=-5.0))
    assert worst(found).says.startswith("0 of 90 images")
    assert any("5.0 s away from this host's time" in finding.says for finding in found)


def test_a_constant_delay_is_told_with_its_length():
    found = findings(thermal=look("thermal", stamp_shift_s=-0.1))
    assert any("thermal images arrive 100 ms later" in finding.says for finding in found)


def test_lost_images_are_seen():
    thermal = look("thermal")
    keep = [n for n in range(90) if n % 4]
    lossy = dataclasses.replace(
        thermal,
        stamps_ns=[thermal.stamps_ns[n] for n in keep],
        arrivals_ns=[thermal.arrivals_ns[n] for n in keep],
    )
    assert "missing" in worst(findings(thermal=lossy)).says


def test_images_that_do_not_fit_the_rig_are_an_error():
    rig = Rig.load(share_path() / "config" / "rigs" / "example.yaml")
    wide = findings(rig, visible=look("visible", sizes={(1280, 1024)}), thermal=look("thermal", sizes={(640, 360)}))
    assert worst(wide).says == "640x360 does not fit the rig file's 640x512"
    fits = findings(rig, visible=look("visible", sizes={(640, 512)}), thermal=look("thermal", sizes={(320, 256)}))
    assert worst(fits).level == Level.OK
