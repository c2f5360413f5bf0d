import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest
import rig_renderer as world
from browser import Browser

from vi_fusion_ros.cli import main
from vi_fusion_ros.registration import Rig
from vi_fusion_ros.registration.estimate.points import calibrate
from vi_fusion_ros.registration.lenses import to_visible
from vi_fusion_ros.registration.planar import corner_error, transform

SIZE = (640, 512)
TRUE = np.array([[1.1, 0.02, 15], [-0.01, 1.08, 8], [3e-5, -2e-5, 1]])


def clicked(count=12, noise=0.5):
    random = np.random.default_rng(0)
    thermal = random.uniform((20, 20), (620, 490), (count, 2))
    return thermal, transform(TRUE, thermal) + random.normal(0, noise, (count, 2))


def test_a_wrong_click_is_left_out():
    thermal, visible = clicked(16, 0.2)
    visible[3] += 80
    found = calibrate(thermal, visible, SIZE, SIZE, Rig.identity())
    assert corner_error(found.rig.H_thermal_to_visible, TRUE, SIZE) < 0.5
    assert (int((~found.inlier).sum()), int(found.off_px.argmax())) == (1, 3)


@pytest.mark.parametrize("seed", range(4))
def test_a_rig_with_lenses_is_recovered(seed):
    """Criterion: within 0.5 px, clicks rounded to half a pixel as the page gives them."""
    truth = world.true_rig()
    thermal = np.random.default_rng(seed).uniform((15, 15), (385, 305), (20, 2))
    visible = np.round(2 * to_visible(truth, thermal)) / 2
    found = calibrate(np.round(2 * thermal) / 2, visible, world.THERMAL_SIZE, world.VISIBLE_SIZE, truth)
    assert world.transfer_error(found.rig) <= 0.5
    assert found.rig.extrinsics is None  # what was clicked need not lie where they say


def test_no_more_freedom_than_it_takes():
    thermal, _ = clicked(14)
    visible = thermal * 1.2 + (5, 9) + np.random.default_rng(1).normal(0, 0.7, thermal.shape)
    assert calibrate(thermal, visible, SIZE, SIZE, Rig.identity()).model == "shift_scale"


@pytest.mark.parametrize("wrong", ["few", "line", "corner", "same", "nan", "nonsense"])
def test_degenerate_points(wrong):
    thermal, visible = clicked()
    if wrong == "few":
        thermal, visible = thermal[:5], visible[:5]
    elif wrong == "line":
        thermal[:, 1] = 2 * thermal[:, 0] + 1
    elif wrong == "corner":  # all but one on a line
        thermal[1:, 1] = 100
        visible[1:, 1] = 100
    elif wrong == "same":
        visible[:] = 5
    elif wrong == "nan":
        visible[0, 0] = np.nan
    else:
        visible = np.random.default_rng(3).uniform(0, 500, visible.shape)
    with pytest.raises(ValueError, match="expected") as error:
        calibrate(thermal, visible, SIZE, SIZE, Rig.identity())
    assert "\n" not in str(error.value)


@pytest.fixture
def points_file(tmp_path):
    thermal, visible = clicked()
    (tmp_path / "p.json").write_text(json.dumps({"thermal": thermal.tolist(), "visible": visible.tolist()}))
    return tmp_path / "p.json"


def call_with(file, *more):
    return main(["calibrate", "points", str(file), "--thermal-size", "640x512", "--visible-size", "640x512", "--out",
                 str(file.parent / "rig.yaml"), *more])  # fmt: skip


def test_the_command_with_a_file(points_file, capsys):
    assert call_with(points_file) == 0
    rig = Rig.load(points_file.parent / "rig.yaml")
    assert rig.made["points"] == 12
    before = (points_file.parent / "rig.yaml").read_bytes()
    assert call_with(points_file) == 2
    assert "stays: its rig fits as well or better" in capsys.readouterr().err
    assert (points_file.parent / "rig.yaml").read_bytes() == before


def test_points_replace_a_worse_rig_but_not_a_better_one(points_file, capsys):
    path = points_file.parent / "rig.yaml"
    Rig(TRUE @ [[1, 0, 6], [0, 1, 0], [0, 0, 1]], SIZE, SIZE, time_offset_ms=5).save(path)
    assert call_with(points_file) == 0
    assert Rig.load(path).time_offset_ms == 5
    Rig(TRUE, SIZE, SIZE).save(path)
    assert call_with(points_file) == 2
    assert "stays" in capsys.readouterr().err


def test_a_file_without_points_and_a_rig_of_another_version(points_file, capsys):
    (points_file.parent / "rig.yaml").write_text("version: 7\n")
    assert call_with(points_file) == 2
    assert "version is 7; expected 1" in capsys.readouterr().err
    (points_file.parent / "rig.yaml").unlink()
    points_file.write_text("[]")
    assert call_with(points_file) == 2
    assert "has no points" in capsys.readouterr().err


@pytest.fixture
def page(tmp_path, capfd):
    """The command serving its page; gives the address and the thread."""
    for name in ("a", "b"):
        for camera, size in (("visible", (512, 640, 3)), ("thermal", (512, 640))):
            (tmp_path / camera).mkdir(exist_ok=True)
            deep = np.random.default_rng(1).integers(29000, 30000, size).astype(np.uint16)
            cv2.imwrite(
                str(tmp_path / camera / f"{name}.png"), deep if camera == "thermal" else (deep // 200).astype("u1")
            )
    status = []
    arguments = ["calibrate", "points", "--visible", tmp_path / "visible", "--thermal", tmp_path / "thermal", "--out",
                 tmp_path / "rig.yaml", "--pictures", tmp_path / "pictures"]  # fmt: skip
    thread = threading.Thread(target=lambda: status.append(main([str(argument) for argument in arguments])))
    thread.start()
    said, found, end = "", None, time.monotonic() + 60
    while found is None:
        said += capfd.readouterr().err
        found = re.search(r"click points at (\S+) ", said)
        if found is None:
            assert thread.is_alive(), f"it has ended without an address: {said}"
            assert time.monotonic() < end, f"no address in time, but: {said}"
            thread.join(0.05)
    url = found[1]
    yield url, thread, status, tmp_path
    if thread.is_alive():  # a test that failed half-way: let the command end
        ask(url + "save", request())
        thread.join(10)


def request(count=12, noise=0.2):
    thermal, visible = clicked(count, noise)
    return {"thermal": thermal.tolist(), "visible": visible.tolist(), "pair": 1}


def ask(url, document=None, **headers):
    data = None if document is None else json.dumps(document).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as answer:
        body = answer.read()
        return json.loads(body) if "json" in answer.headers["Content-Type"] else body


def test_the_page(page):
    url, thread, status, folder = page
    assert url.startswith("http://127.0.0.1:")
    assert b"<canvas" in ask(url)
    assert ask(url + "pairs") == ["a", "b"]
    shown = cv2.imdecode(np.frombuffer(ask(url + "image/1/thermal"), np.uint8), cv2.IMREAD_UNCHANGED)
    assert (shown.shape, shown.dtype) == ((512, 640, 3), np.uint8)
    assert "expected 6 or more" in ask(url + "solve", request(4))["error"]
    answer = ask(url + "solve", request())
    assert answer["good"]
    assert len(answer["off_px"]) == 12
    assert "error" in ask(url + "save", request(4))
    assert thread.is_alive()
    assert "rig.yaml" in ask(url + "save", request())["message"]
    thread.join(10)
    assert status == [0]
    assert corner_error(Rig.load(folder / "rig.yaml").H_thermal_to_visible, TRUE, SIZE) < 1
    assert cv2.imread(str(folder / "pictures" / "a.jpg")) is not None


@pytest.fixture
def browser(tmp_path):
    made = Browser(tmp_path / "profile")
    yield made
    made.close()


def place(browser, camera, point):
    """Where a point of an image, shown whole in the middle of its canvas, lies in the window."""
    box = json.loads(browser.run(f"JSON.stringify(document.getElementById('{camera}').getBoundingClientRect())"))
    zoom = min(box["width"] / SIZE[0], box["height"] / SIZE[1])
    start = (box["x"] + box["width"] / 2 - zoom * SIZE[0] / 2, box["y"] + box["height"] / 2 - zoom * SIZE[1] / 2)
    return [edge + (at + 0.5) * zoom for edge, at in zip(start, point, strict=True)]


def click(browser, camera, point):
    browser.click(*place(browser, camera, point))


def says(text):
    return f"document.getElementById('message').textContent.includes({json.dumps(text)})"


def test_a_rig_is_clicked_in_a_browser(page, browser):
    url, thread, status, folder = page
    browser.open(url)
    browser.wait_for("state.pairs.length === 2 && state.views.visible.zoom && state.views.thermal.zoom")
    thermal = np.array([[60, 50], [580, 60], [570, 450], [70, 440], [300, 250], [420, 150], [180, 380]])
    visible = thermal * 0.9 + (40, 10)
    for one, other in zip(thermal[:6], visible[:6], strict=True):
        click(browser, "visible", other)
        click(browser, "thermal", one)
    browser.wait_for(says("from 6 points, 0 left out"))
    browser.run("document.getElementById('after').click()")
    browser.wait_for("state.pair === 1 && state.views.visible.image.complete && state.views.thermal.image.complete")
    click(browser, "visible", visible[6])
    click(browser, "thermal", thermal[6] + (90, -80))  # a slip; drawn to where it belongs
    browser.wait_for(says("from 7 points, 1 left out"))
    start, end = (place(browser, "thermal", at) for at in (thermal[6] + (90, -80), thermal[6]))
    browser.mouse("mousePressed", *start)
    browser.mouse("mouseMoved", *end, buttons=1)
    browser.mouse("mouseReleased", *end)
    browser.wait_for(says("from 7 points, 0 left out"))
    browser.wait_for("document.getElementById('picture').naturalWidth > 0")
    browser.wait_for("!document.getElementById('save').disabled")
    browser.run("document.getElementById('save').click()")
    browser.wait_for(says("You can close this page"))
    thread.join(10)
    assert status == [0]
    truth = np.array([[0.9, 0, 40], [0, 0.9, 10], [0, 0, 1]])
    assert corner_error(Rig.load(folder / "rig.yaml").H_thermal_to_visible, truth, SIZE) < 1
    assert browser.faults == []
    click(browser, "visible", visible[0] + (50, 50))  # the command is gone
    click(browser, "thermal", thermal[0] + (50, 50))
    browser.wait_for(says("vi-fusion calibrate points has ended"))


def test_the_page_is_for_who_has_its_address_alone(page):
    url, *_ = page
    port = int(url.split(":")[2].split("/")[0])
    for address, headers in (
        (f"http://127.0.0.1:{port}/", {}),
        (f"http://127.0.0.1:{port}/pairs", {}),
        (url, {"Host": "evil.example"}),
        (url + "image/7/thermal", {}),
        (url + "image/0/__class__", {}),
        (url + "../../etc/passwd", {}),
    ):
        with pytest.raises(urllib.error.HTTPError) as error:
            ask(address, **headers)
        assert error.value.code == 404
    with pytest.raises(urllib.error.HTTPError) as error:
        ask(f"http://127.0.0.1:{port}/save", request())
    assert error.value.code == 404
    with socket.create_connection(("127.0.0.1", port)) as connection:  # nonsense does not stop the page
        connection.sendall(b"POST " + url.split(str(port))[1].encode() + b"solve HTTP/1.0\r\nHost: x\r\n\r\n\xff")
        connection.recv(100)
    assert ask(url + "pairs") == ["a", "b"]
