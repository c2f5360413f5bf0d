import itertools

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from harness import PERIOD_NS, START_NS, NodeProcess, Probe, next_domain, scene, wait_until
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from vi_fusion_ros.images.encodings import decode_image

pytestmark = pytest.mark.ros


@pytest.fixture
def start(model):
    """Starts a fusion node with the tiny model and parameters, and a probe beside it."""
    started = []

    def _start(parameters):
        domain = next_domain()
        probe = Probe(domain, topics={"thermal_kelvin": Image, "thermal_registered": Image})
        started.append(probe.close)
        parameters = {"status_rate": 20.0, "model": str(model), "drift.mode": "off", **parameters}
        started.append(NodeProcess("vi_fusion_ros.node.fusion_node", domain, parameters).stop)
        probe.wait_active()
        return probe

    yield _start
    for stop in reversed(started):
        stop()


RIG = """version: 1
H_thermal_to_visible: [[1, 0, 32], [0, 1, 0], [0, 0, 1]]
thermal_size: [128, 96]
visible_size: [128, 96]
radiometry: {scale: 0.04, offset: 0.0, unit: kelvin}
"""


def test_the_rig_s_radiometry_makes_a_kelvin_image_of_mono16_and_16uc1_in_both_endians(start, tmp_path):
    rig = tmp_path / "rig.yaml"
    rig.write_text(RIG)
    probe = start({"rig": str(rig)})
    wait_until(lambda: probe.node.count_publishers("/fusion_node/thermal_kelvin") == 1, "the kelvin topic")
    thermal = scene("thermal") // 4  # 290 to 308 K
    thermal[50, 20] = 16383
    swapped = thermal.byteswap()
    kinds = [
        {"encoding": "mono16"},
        {"encoding": "16UC1"},
        {"encoding": "mono16", "is_bigendian": 1, "image": swapped},
        {"encoding": "16UC1", "is_bigendian": 1, "image": swapped},
    ]
    for n, kind in enumerate(kinds):
        image = kind.pop("image", thermal)
        kelvin, counts = published(probe, START_NS + 10**6 * n * PERIOD_NS, image, kind)
        assert (kelvin.encoding, kelvin.header.frame_id) == ("32FC1", "visible_optical_frame")
        assert np.isnan(decode_image(kelvin)[:, :32]).all()
        expected = (thermal[:, :96] * np.float64(0.04)).astype(np.float32)
        np.testing.assert_array_equal(decode_image(kelvin)[:, 32:], expected)
        np.testing.assert_array_equal(decode_image(counts)[:, 32:], thermal[:, :96])


def published(probe, first_ns, image, fields):
    """What the node makes of a thermal image on the two topics; the first ones are lost to discovery."""
    got = [probe.received["thermal_kelvin"], probe.received["thermal_registered"]]
    for messages in got:
        messages.clear()
    calls = itertools.count()

    def sent():
        if (n := next(calls)) % 20 == 0:  # wait_until asks 200 times a second
            stamp = first_ns + n * PERIOD_NS
            probe.send("visible", stamp)
            probe.send("thermal", stamp, image, **fields)
        return all(got)

    wait_until(sent, "both topics")
    return got[0][-1], got[1][-1]


def test_without_radiometry_there_is_no_kelvin_topic_and_a_wrong_declaration_is_told(start):
    probe = start({"thermal.radiometry": "raw14"})
    assert probe.node.count_publishers("/fusion_node/thermal_kelvin") == 0
    probe.send_pair(START_NS)
    wait_until(lambda: probe.status.errors == 1, "the error")
    assert "is it TLinear?" in probe.status.last_error
    probe.send("visible", START_NS + PERIOD_NS)
    probe.send("thermal", START_NS + PERIOD_NS, scene("thermal") // 2)
    probe.wait_for_result(START_NS + PERIOD_NS)


def test_a_wrong_setting_fails_to_configure_in_one_sentence(model):
    domain = next_domain()
    probe = Probe(domain)
    parameters = {"status_rate": 20.0, "model": str(model), "thermal.flat_field": "/no/such.tiff"}
    node = NodeProcess("vi_fusion_ros.node.fusion_node", domain, parameters)
    try:
        wait_until(lambda: probe.status is not None and "no/such.tiff" in probe.status.engine_reason, "the fault")
        assert probe.status.state == "unconfigured"
    finally:
        node.stop()
        probe.close()


def test_a_reloaded_rig_brings_its_radiometry_and_the_topic_comes_with_it(start, tmp_path):
    rig, thermal = tmp_path / "rig.yaml", scene("thermal") // 4
    bare = "".join(line for line in RIG.splitlines(True) if not line.startswith("radiometry"))
    rig.write_text(bare)
    probe = start({"rig": str(rig)})
    assert probe.node.count_publishers("/fusion_node/thermal_kelvin") == 0

    def reload(text):
        rig.write_text(text)
        answer = probe.call(Trigger, "reload_rig", Trigger.Request())
        assert answer.success, answer.message
        return answer.message

    for n, scale in enumerate((0.04, 0.02)):
        reload(RIG.replace("0.04", str(scale)))
        kelvin, counts = published(probe, START_NS + 10**6 * n * PERIOD_NS, thermal, {"encoding": "mono16"})
        expected = (decode_image(counts)[:, 32:] * np.float64(scale)).astype(np.float32)
        np.testing.assert_array_equal(decode_image(kelvin)[:, 32:], expected)
    wait_until(lambda: probe.node.count_publishers("/fusion_node/thermal_kelvin") == 1, "the kelvin topic")
    assert "~/temperature" in reload(bare)
    wait_until(lambda: probe.node.count_publishers("/fusion_node/thermal_kelvin") == 0, "the kelvin topic to go")


def test_a_rig_whose_radiometry_cannot_be_is_refused_as_a_whole(start, tmp_path):
    rig = tmp_path / "rig.yaml"
    rig.write_text(RIG)
    probe = start({"rig": str(rig), "thermal.tone_mapping": "range", "thermal.range": [280.0, 320.0]})
    rig.write_text(RIG.replace("32]", "64]").replace("0.04", "0.0001"))  # 40 K are more counts than 16 bits hold
    answer = probe.call(Trigger, "reload_rig", Trigger.Request())
    assert not answer.success
    assert "16 bits hold less" in answer.message
    kelvin, counts = published(probe, START_NS, scene("thermal") // 4, {"encoding": "mono16"})
    assert np.isnan(decode_image(kelvin)[:, :32]).all()
    expected = (decode_image(counts)[:, 32:] * np.float64(0.04)).astype(np.float32)
    np.testing.assert_array_equal(decode_image(kelvin)[:, 32:], expected)
