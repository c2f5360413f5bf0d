"""``vi-fusion study``: its page in a browser, what it saves, and what it refuses."""

import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from browser import Browser

from vi_fusion_ros.cli import main

METHODS = ("bright", "dark")


@pytest.fixture
def pictures(tmp_path):
    """Two methods on three scenes: one bright, one dark."""
    rng = np.random.default_rng(0)
    for scene in ("s1", "s2", "s3"):
        texture = cv2.GaussianBlur(rng.integers(0, 90, (240, 320, 3), np.uint8), (0, 0), 3)
        for name, add in (("bright", 150), ("dark", 10)):
            (tmp_path / name).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / name / f"{scene}.png"), texture + add)
    return [f"{name}={tmp_path / name}" for name in METHODS]


class Served:
    """The command in a process of its own."""

    def __init__(self, pictures, folder):
        command = [sys.executable, "-m", "vi_fusion_ros.cli", "study", *pictures, "--study", str(folder)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.said = self.process.stderr.readline()
        self.url = re.search(r"http://127\.0\.0\.1:\d+/\S+/", self.said)[0]

    def end(self, how=signal.SIGINT):
        self.process.send_signal(how)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.fixture
def serve(pictures, tmp_path):
    made = []

    def start(*more):
        made.append(Served([*pictures, *more], tmp_path / "study"))
        return made[-1]

    yield start
    for served in made:
        if served.process.poll() is None:
            served.end(signal.SIGKILL)


@pytest.fixture
def browser(tmp_path):
    made = Browser(tmp_path / "profile")
    yield made
    made.close()


def ask(url, document=None, **headers):
    data = None if document is None else json.dumps(document).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as reply:
        return reply.read()


def post(url, document):
    return json.loads(ask(url, document))


def answers(folder, number=1):
    rows = json.loads((Path(folder) / "study" / "people" / f"{number:03d}.json").read_text())["questions"]
    return [(row["left"] if row["answer"] == "left" else row["right"]) for row in rows if "answer" in row]


def join(page, name):
    page.run(f"document.getElementById('name').value = {json.dumps(name)}; document.getElementById('start').click()")


def at_question(page, number):
    page.wait_for(
        f"document.getElementById('count').dataset.shown === '{number}' && !document.querySelector('main').hidden"
    )


def prefer(page, method):
    """Press the key on the side of the brighter or the darker picture, as a person would: by looking."""
    image = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_GRAYSCALE)
    middle = image[250:550]
    left, right = middle[:, 100:500].mean(), middle[:, 780:1180].mean()
    page.key("ArrowLeft" if (left > right) == (method == "bright") else "ArrowRight")


def test_two_people_choose_with_the_keyboard(serve, browser, tmp_path):
    served = serve()
    browser.open(served.url)
    for number, (name, wanted) in enumerate((("Ana", "bright"), ("Bo", "dark")), 1):
        join(browser, name)
        for question in (1, 2, 3):
            at_question(browser, question)
            assert len(answers(tmp_path, number)) == question - 1
            prefer(browser, wanted)
        browser.wait_for("!document.getElementById('gate').hidden")
        assert browser.run("document.getElementById('title').textContent").startswith("Thank you")
        assert answers(tmp_path, number) == [wanted] * 3
    assert browser.faults == []
    code, out, _ = served.end()
    assert code == 0
    assert "6 answers of 2 people" in out


def test_a_killed_study_goes_on_where_it_was(serve, browser, tmp_path):
    served = serve()
    browser.open(served.url)
    join(browser, "Ana")
    at_question(browser, 1)
    prefer(browser, "dark")
    at_question(browser, 2)
    served.end(signal.SIGKILL)
    browser.key("ArrowLeft")  # nobody hears this one
    browser.wait_for("document.getElementById('message').textContent.includes('was not saved')")
    assert answers(tmp_path) == ["dark"]
    browser.open(serve().url)
    join(browser, " ana ")
    at_question(browser, 2)
    assert browser.run("document.getElementById('count').textContent") == "2 of 3"


def test_no_answer_that_was_taken_is_lost_by_a_kill(serve, tmp_path):
    """Killed three times, somewhere among answers that follow each other as fast as they are taken."""
    taken, lost = {}, []

    def answer_until_killed(url, enough, reached):
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            for number in itertools.count():
                said = post(url + "person", {"name": f"person {number}"})
                if said["done"] < taken.get(number, 0):
                    lost.append(number)
                while said["done"] < said["of"]:
                    answer = {"person": said["person"], "question": said["done"], "side": "left", "seconds": 1}
                    said = post(url + "answer", answer)
                    taken[number] = said["done"]
                    if sum(taken.values()) >= enough:
                        reached.set()

    for enough in (4, 10, 20):
        served, reached = serve(), threading.Event()
        asking = threading.Thread(target=answer_until_killed, args=(served.url, enough, reached))
        asking.start()
        assert reached.wait(120)
        served.end(signal.SIGKILL)
        asking.join()
        assert lost == []
        for number, done in taken.items():
            assert len(answers(tmp_path, number + 1)) >= done
    assert main(["study", "report", "--study", str(tmp_path / "study"), "--json", str(tmp_path / "out.json")]) == 0
    assert json.loads((tmp_path / "out.json").read_text())["n"] >= sum(taken.values())


def test_the_last_answer_can_be_given_again(serve, browser, tmp_path):
    browser.open(serve().url)
    join(browser, "Ana")
    at_question(browser, 1)
    prefer(browser, "dark")
    at_question(browser, 2)
    browser.key("Backspace")
    at_question(browser, 1)
    assert answers(tmp_path) == ["dark"]
    prefer(browser, "bright")
    at_question(browser, 2)
    assert answers(tmp_path) == ["bright"]


def test_nothing_that_is_sent_names_a_method(serve, pictures):
    served = serve()
    page = ask(served.url).decode()
    said = post(served.url + "person", {"name": "Ana"})
    picture = ask(f"{served.url}picture/{said['person']}/0/left")
    assert picture.startswith(b"\x89PNG")
    for word in METHODS:
        assert word not in page
        assert word not in json.dumps(said)
        assert word.encode() not in picture


def test_what_is_not_the_page_is_refused(serve):
    served = serve()
    root = re.match(r"http://[^/]+/", served.url)[0]
    for url, headers in ((root, {}), (served.url, {"Host": "evil.example"}), (served.url + "picture/0/0/left", {}),
                         (served.url + "../study.json", {})):  # fmt: skip
        with pytest.raises(urllib.error.HTTPError, match="404"):
            ask(url, **headers)
    number = post(served.url + "person", {"name": "Ana"})["person"]
    answer = {"person": number, "question": 0, "side": "left", "seconds": 1}
    for wrong in (
        {"question": 2},
        {"question": -1},
        {"side": "middle"},
        {"person": 7},
        {"seconds": float("nan")},
        {"seconds": None},
    ):
        assert "error" in post(served.url + "answer", {**answer, **wrong})
    assert "error" in post(served.url + "person", {"name": "  "})
    assert post(served.url + "answer", answer)["done"] == 1


def test_a_study_that_is_ended_while_pictures_are_made_ends_well(serve, pictures, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), np.uint8)
    for name in METHODS:
        for scene in ("s1", "s2", "s3"):
            cv2.imwrite(str(tmp_path / name / f"{scene}.png"), noise)
    served = serve()
    number = post(served.url + "person", {"name": "Ana"})["person"]
    port, path = re.search(r":(\d+)(/.*)", served.url).groups()
    asking = []
    for question in (0, 1, 2):
        asking.append(http.client.HTTPConnection("127.0.0.1", int(port), timeout=60))
        asking[-1].request("GET", f"{path}picture/{number}/{question}/left")
    assert b"<html" in ask(served.url)  # connections are taken in turn: what was asked before is being made
    code, _, err = served.end()
    assert code == 0, err


def test_one_study_is_asked_once_at_a_time(serve, pictures, tmp_path, capsys):
    serve()
    assert main(["study", *pictures, "--study", str(tmp_path / "study")]) == 2
    said = capsys.readouterr().err
    assert "being asked by another process" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["bright=.", "--study", "s", "--json", "f"], "--json belongs to study report"),
        (["report", "--study", "s", "--port", "0", "--json", "f"], "--port belongs to study NAME=DIR"),
        (["report", "--study", "s"], "needs --json FILE"),
        (["report", "--study", "s", "--json", "f", "--visible", "v"], "belong together"),
        (["bright", "--study", "s"], "expected NAME=DIR"),
        (["a=.", "a=.", "--study", "s"], "expected NAME=DIR, each name once"),
        (["a=nowhere", "b=nowhere", "--study", "s"], "no such folder"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["study", *arguments]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
