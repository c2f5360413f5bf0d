import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from harness import DEADLINE_S, next_domain, wait_until
from rosbags.rosbag2 import Reader

from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.node.status.telemetry import STAGES

pytestmark = pytest.mark.ros


def start(out, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "vi_fusion_ros.tools.demo", "--out", str(out), *map(str, arguments)],
        env={**os.environ, "ROS_DOMAIN_ID": str(next_domain()), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, within_s=120.0):
    output, errors = process.communicate(timeout=within_s)
    return process.returncode, output, errors


def check_outputs(out, summary):
    """The files agree with the summary and with each other."""
    published = summary["recorded"]
    with Reader(out / "fused.mcap") as reader:
        counts = {c.topic: c.msgcount for c in reader.connections}
        store = typestore()
        stamps = []
        for connection, _, data in reader.messages():
            message = store.deserialize_cdr(data, connection.msgtype)
            if connection.topic == "/fusion_node/fused/image":
                stamps.append((message.header.stamp.sec, message.header.stamp.nanosec))
                assert message.header.frame_id
    assert counts["/fusion_node/fused/image"] == published
    assert counts["/fusion_node/status"] > 0
    assert len(set(stamps)) == published
    assert stamps == sorted(stamps)
    video = cv2.VideoCapture(str(out / "fused.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == published
    mosaic = cv2.imread(str(out / "mosaic.png"))
    assert mosaic.shape[1] == 4 * int(video.get(cv2.CAP_PROP_FRAME_WIDTH))


def check_accounts(summary):
    """Every frame is accounted for."""
    dropped = summary["dropped"]
    images_lost = dropped.get("skipped", 0) + dropped.get("failed", 0)
    # Not equal: on a busy machine images are skipped before they are paired.
    assert 0 <= 2 * (summary["pairs"] - summary["published"]) <= images_lost
    frames_in = summary["frames_in"]["visible"] + summary["frames_in"]["thermal"]
    assert frames_in == 2 * summary["published"] + sum(dropped.values())
    assert set(summary["latency_ms"]) == {*STAGES, "end_to_end"}
    for percentiles in summary["latency_ms"].values():
        assert 0 <= percentiles["p50"] <= percentiles["p95"] <= percentiles["p99"]
    assert summary["errors"] == 0
    assert summary["modes_seen"] == {"BOTH": summary["recorded"]}


def test_the_synthetic_scene(tmp_path):
    copy = tmp_path / "copy" / "out.json"
    code, output, errors = finish(start(tmp_path, "--duration", 5, "--json", copy, "--cameras"))
    assert code == 0, errors
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary == json.loads(copy.read_text())
    assert summary["published"] > 0
    check_outputs(tmp_path, summary)
    check_accounts(summary)
    assert "pairs published at" in output
    with Reader(tmp_path / "fused.mcap") as reader:
        counts = {c.topic: c.msgcount for c in reader.connections}
    assert min(counts["/visible/image"], counts["/thermal/image"]) > 0
    assert "Traceback" not in output + errors


def test_a_real_pair_of_videos(tmp_path, data_dir):
    clip = data_dir / "m3svd" / "1230_1202"
    code, _, errors = finish(start(tmp_path, "--visible", f"{clip}_visible.mp4", "--thermal", f"{clip}_thermal.mp4"))
    assert code == 0, errors
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert 0 < summary["published"] <= 205
    check_outputs(tmp_path, summary)
    check_accounts(summary)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--visible", "a.mp4"], 2, "--visible and --thermal go together"),
        (["--visible", "no_such_a.mp4", "--thermal", "no_such_b.mp4"], 1, "no_such_a.mp4"),
        (["--duration", "3", "--rig", "no_such_rig.yaml"], 1, "no_such_rig.yaml"),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path, arguments, code, sentence):
    returned, _, errors = finish(start(tmp_path, *arguments))
    assert returned == code
    lines = [line for line in errors.splitlines() if line.startswith("demo: ")]
    assert len(lines) == 1, errors
    assert sentence in lines[0]
    assert "Traceback" not in errors


def _of_domain(domain):
    """Processes that were started for a DDS domain."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if f"ROS_DOMAIN_ID={domain}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # ended meanwhile, or another user's
    return found


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_what_there_is_and_no_process(tmp_path, asked):
    process = start(tmp_path, "--duration", 600)
    try:
        seen = []
        wait_until(
            lambda: seen.append(process.stdout.readline()) or "fused" in seen[-1], "a line of figures", DEADLINE_S * 2
        )
        domain = Path(f"/proc/{process.pid}/environ").read_bytes().partition(b"ROS_DOMAIN_ID=")[2].partition(b"\0")[0]
        assert len(_of_domain(domain.decode())) >= 3, "demo, node and player"
        process.send_signal(asked)
        code, _, errors = finish(process)
    finally:
        process.kill()
    assert code == 0, errors
    assert _of_domain(domain.decode()) == []
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["recorded"] > 0
    with Reader(tmp_path / "fused.mcap") as reader:
        assert reader.message_count > 0
