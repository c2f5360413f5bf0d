import json

import cv2
import numpy as np
import pytest
from matroska import levels, number_of, write_mkv

from vi_fusion_ros.cli import main

SIZE = (48, 64)


def image(seed, channels=3):
    shape = (*SIZE, 3) if channels == 3 else SIZE
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture
def fuse(tmp_path, model):
    """Runs the command on ``visible`` and ``thermal`` below tmp_path."""

    def _fuse(visible="visible", thermal="thermal", *options, out="out"):
        arguments = ["fuse", "--visible", tmp_path / visible, "--thermal", tmp_path / thermal, "--out", tmp_path / out]
        arguments += ["--model", model, "--json", tmp_path / "result.json", "--threads", "1", *options]
        return main([str(argument) for argument in arguments])

    return _fuse


@pytest.fixture
def folders(tmp_path):
    for name in ("visible", "thermal"):
        (tmp_path / name).mkdir()
        for n in range(3):
            cv2.imwrite(str(tmp_path / name / f"f{n}.png"), image(n, 3 if name == "visible" else 1))
    return tmp_path


def result(path):
    return json.loads((path / "result.json").read_text())


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def video(path, frames, rate):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, SIZE[::-1])
    for n in range(frames):
        writer.write(np.full((*SIZE, 3), 10 + 5 * n % 200, np.uint8))
    writer.release()


def frames_of(path):
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames


def test_two_images(folders, fuse):
    assert fuse("visible/f0.png", "thermal/f1.png") == 0
    assert files(folders / "out") == ["f0.png", "overlay"]
    assert files(folders / "out" / "overlay") == ["f0.png"]
    assert cv2.imread(str(folders / "out" / "f0.png"), cv2.IMREAD_UNCHANGED).shape == (*SIZE, 3)
    document = result(folders)
    assert document["model"] == "tiny-1"
    assert document["rig"] == "identity"
    assert document["totals"]["fused"] == 1
    frame = document["frames"][0]
    assert (frame["name"], frame["mode"], frame["overlap"]) == ("f0", "BOTH", 1)
    assert set(frame["scores"]) == {"bright", "warm"}
    assert 0 <= frame["scores"]["warm"]["probability"] <= 1


def test_folders_in_grey(folders, fuse, capsys):
    assert fuse("visible", "thermal", "--gray") == 0
    assert files(folders / "out") == ["f0.png", "f1.png", "f2.png"]
    fused = cv2.imread(str(folders / "out" / "f1.png"), cv2.IMREAD_UNCHANGED)
    assert fused.shape == SIZE
    assert fused.dtype == np.uint8
    assert "3 fused, 0 skipped" in capsys.readouterr().out
    assert result(folders)["totals"]["problems"] == 0


def test_stills_do_not_depend_on_each_other(folders, fuse):
    for n in range(3):
        cv2.imwrite(str(folders / "thermal" / f"f{n}.png"), image(n, 1).astype(np.uint16) * (n + 1) * 50)
    assert fuse() == 0
    assert fuse("visible/f2.png", "thermal/f2.png", out="alone") == 0
    assert (folders / "out" / "f2.png").read_bytes() == (folders / "alone" / "f2.png").read_bytes()


def test_missing_partners_and_corrupt_images_are_named_and_counted(folders, fuse, capsys):
    (folders / "thermal" / "f0.png").unlink()
    (folders / "visible" / "f1.png").write_bytes(b"garbage")
    cv2.imwrite(str(folders / "thermal" / "extra.png"), image(9, 1))
    (folders / "thermal" / "empty.png").write_bytes(b"")
    cv2.imwrite(str(folders / "visible" / "empty.png"), image(9))
    (folders / "visible" / "notes.txt").write_text("not an image")
    assert fuse() == 0
    assert files(folders / "out") == ["f2.png", "overlay"]
    reasons = {problem["name"]: problem["reason"] for problem in result(folders)["problems"]}
    assert reasons["f0"] == "its thermal image is missing"
    assert reasons["extra"] == "its visible image is missing"
    assert "f1.png: corrupt or not an image" in reasons["f1"]
    assert "empty.png: corrupt or not an image" in reasons["empty"]
    assert result(folders)["totals"]["problems"] == 4
    said = capsys.readouterr()
    assert "1 fused, 4 skipped" in said.out
    assert "f1 skipped: " in said.err


def test_nothing_fused_is_a_failure(folders, fuse, capsys):
    for n in range(3):
        (folders / "thermal" / f"f{n}.png").write_bytes(b"garbage")
    assert fuse() == 2
    assert "0 fused, 3 skipped" in capsys.readouterr().out
    assert files(folders / "out") == []


def test_objects_are_listed_and_drawn(tmp_path, fuse, object_model):
    size = (96, 128)
    for name, row, column in (("visible", 5, 6), ("thermal", 3, 10)):
        (tmp_path / name).mkdir()
        picture = np.zeros(size, np.uint8) if name == "visible" else np.full(size, 29000, np.uint16)
        picture[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 255 if name == "visible" else 31000
        cv2.imwrite(str(tmp_path / name / "f0.png"), picture)
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text("fusion_node: {ros__parameters: {thermal: {radiometry: tlinear_0.01}}}\n")
    assert fuse("visible", "thermal", "--model", object_model, "--parameters", parameters) == 0
    frame = result(tmp_path)["frames"][0]
    assert set(frame["scores"]) == {"bright", "warm"}
    bright, warm = frame["objects"]
    left, up, right, down = pytest.importorskip("tiny_model").SIDES["bright"]
    assert bright["label"] == "bright"
    assert bright["box"] == [52 - left, 44 - up, 52 + right, 44 + down]
    assert (bright["mean_kelvin"], bright["max_kelvin"]) == (290, 290)
    assert warm["max_kelvin"] == 310
    assert warm["probability"] > 0.9
    fused, drawn = (cv2.imread(str(tmp_path / "out" / name / "f0.png")) for name in (".", "overlay"))
    x0, y0, x1, y1 = map(round, bright["box"])
    box = np.zeros(size, bool)
    box[y0:y1, [x0, x1 - 1]] = box[[y0, y1 - 1], x0:x1] = True
    changed = (fused != drawn).any(axis=2)
    assert changed[box].mean() > 0.95
    assert fuse("visible", "thermal", out="unknown") == 0
    assert result(tmp_path)["frames"][0]["objects"] == []
    parameters.write_text("fusion_node: {ros__parameters: {output: {hot_regions: true}}}\n")
    assert fuse("visible", "thermal", "--parameters", parameters, out="hot") == 0
    (hot,) = result(tmp_path)["frames"][0]["objects"]
    assert hot == {
        "label": "hot_region", "probability": None, "box": [80, 24, 88, 32], "mean_kelvin": None, "max_kelvin": None,
    }  # fmt: skip
    assert files(tmp_path / "hot") == ["f0.png", "overlay"]


def test_objects_without_a_radiometry_have_no_temperature(tmp_path, fuse, object_model):
    video(tmp_path / "v.mp4", 3, 30)
    assert fuse("v.mp4", "v.mp4", "--model", object_model) == 0
    assert files(tmp_path / "out") == ["fused.mp4", "overlay.mp4"]
    assert len(frames_of(tmp_path / "out" / "overlay.mp4")) == 3
    for frame in result(tmp_path)["frames"]:
        assert all(found["mean_kelvin"] is found["max_kelvin"] is None for found in frame["objects"])


def test_a_rig(folders, fuse):
    rig = folders / "rig.yaml"
    rig.write_text(
        "version: 1\nH_thermal_to_visible: [[1, 0, 16], [0, 1, 0], [0, 0, 1]]\n"
        "thermal_size: [64, 48]\nvisible_size: [64, 48]\n"
    )
    assert fuse("visible", "thermal", "--rig", rig) == 0
    assert result(folders)["rig"] == str(rig)
    assert result(folders)["totals"]["mean_overlap"] == 0.75
    fused = cv2.imread(str(folders / "out" / "f0.png"))
    np.testing.assert_array_equal(fused[:, :16], image(0)[:, :16])


def test_frames_of_videos_of_one_rate_pair_in_order(tmp_path, fuse):
    video(tmp_path / "v.mp4", 12, 30)
    video(tmp_path / "t.mp4", 10, 30)
    assert fuse("v.mp4", "t.mp4") == 0
    assert files(tmp_path / "out") == ["fused.mp4", "overlay.mp4"]
    assert len(frames_of(tmp_path / "out" / "fused.mp4")) == 10
    totals = result(tmp_path)["totals"]
    assert (totals["fused"], sum(totals["unpaired"].values())) == (10, 2)
    assert [frame["skew_ms"] for frame in result(tmp_path)["frames"]] == [0] * 10


def test_videos_of_different_rates_pair_by_time(tmp_path, fuse):
    video(tmp_path / "v.mp4", 60, 30)
    video(tmp_path / "t.mp4", 18, 9)
    assert fuse("v.mp4", "t.mp4", "--gray") == 0
    assert len(files(tmp_path / "out")) == 18
    assert files(tmp_path / "out")[0] == "000000.png"
    document = result(tmp_path)
    assert max(abs(frame["skew_ms"]) for frame in document["frames"]) <= 1000 / 30 / 2 + 1e-3
    assert document["totals"]["fused"] + sum(document["totals"]["unpaired"].values()) == 60


def test_frames_of_a_video_of_changing_rate_pair_by_their_own_stamps(tmp_path, fuse):
    times = [round(n / 30, 3) for n in range(15)] + [round(0.5 + n / 6, 3) for n in range(6)]
    write_mkv(tmp_path / "t.mkv", times, levels(len(times), SIZE))
    write_mkv(tmp_path / "v.mkv", [round(n / 30, 3) for n in range(45)], [np.zeros((*SIZE, 3), np.uint8)] * 45)
    assert fuse("v.mkv", "t.mkv", "--gray") == 0
    frames = result(tmp_path)["frames"]
    assert len(frames) == len(times)
    assert max(abs(frame["skew_ms"]) for frame in frames) <= 17
    np.testing.assert_allclose([frame["time_s"] for frame in frames], times, atol=0.017)
    # The tiny model shows the brighter of both, which is the thermal frame: it is the one of that time.
    shown = [number_of(cv2.imread(str(tmp_path / "out" / f"{n:06d}.png"), 0)) for n in range(len(times))]
    assert shown == list(range(len(times)))
    # A video has one rate; each frame stays in it until the next one's time.
    assert fuse("v.mkv", "t.mkv", out="film") == 0
    video = cv2.VideoCapture(str(tmp_path / "film" / "fused.mp4"))
    assert len(frames_of(tmp_path / "film" / "fused.mp4")) / video.get(cv2.CAP_PROP_FPS) == pytest.approx(1.35, abs=0.1)


def test_a_16_bit_video_is_fused_with_all_its_levels(tmp_path, fuse):
    options = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    path, ramp = str(tmp_path / "t.mkv"), np.tile(np.arange(SIZE[1], dtype=np.uint16) * 2 + 20000, (SIZE[0], 1))
    writer = cv2.VideoWriter(path, cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 30.0, SIZE[::-1], options)
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no 16-bit video")
    for _ in range(3):
        writer.write(ramp)
    writer.release()
    if not cv2.VideoCapture(path).set(cv2.CAP_PROP_CONVERT_RGB, 0):
        pytest.skip("this OpenCV reads no 16-bit video")
    write_mkv(tmp_path / "v.mkv", [0, 0.033, 0.067], [np.zeros((*SIZE, 3), np.uint8)] * 3)
    assert fuse("v.mkv", "t.mkv", "--gray") == 0
    fused = cv2.imread(str(tmp_path / "out" / "000000.png"), 0)
    assert len(np.unique(fused)) > 50  # the 128 counts that they span are less than one level of 8 bits


def test_videos_without_a_known_length_are_read_to_their_end(tmp_path, fuse):
    (tmp_path / "v.mjpeg").write_bytes(b"".join(cv2.imencode(".jpg", image(n))[1].tobytes() for n in range(7)))
    write_mkv(tmp_path / "t.mkv", [n / 25 for n in range(9)], levels(9, SIZE), finished=False)
    assert fuse("v.mjpeg", "t.mkv", "--gray") == 0
    assert len(files(tmp_path / "out")) == 7


def test_folders_of_a_cameras_files(tmp_path, fuse):
    for name, suffixes in (("visible", ("pgm", "PNG", "jpg")), ("thermal", ("npy", "tif", "pgm"))):
        (tmp_path / name).mkdir()
        for n, suffix in zip((9, 10, 11), suffixes, strict=True):
            path = tmp_path / name / f"f{n}.{suffix}"
            if suffix == "npy":
                np.save(path, image(n, 1).astype(np.float32))
            else:
                path.write_bytes(cv2.imencode(f".{suffix.lower()}", image(n, 1))[1].tobytes())
        (tmp_path / name / f"._f9.{suffixes[0]}").write_bytes(b"resource fork")
        (tmp_path / name / "Thumbs.db").write_bytes(b"thumbnails")
    assert fuse() == 0
    assert [frame["name"] for frame in result(tmp_path)["frames"]] == ["f9", "f10", "f11"]
    assert fuse("visible/f9.pgm", "thermal/f9.npy", out="one") == 0


@pytest.mark.parametrize(
    ("visible", "thermal", "sentence"),
    [
        ("no_such", "thermal", "no_such is missing"),
        ("visible", "empty", "empty has no image"),
        ("visible", "thermal/f0.png", "expected two of one kind"),
        ("text.txt", "text.txt", "text.txt cannot be read as a video"),
        ("twice", "thermal", "two images of one stem, f0.bmp and f0.png"),
    ],
)
def test_wrong_inputs_are_one_sentence(folders, fuse, capsys, visible, thermal, sentence):
    (folders / "empty").mkdir()
    (folders / "text.txt").write_text("text")
    (folders / "twice").mkdir()
    for suffix in ("bmp", "png"):
        cv2.imwrite(str(folders / "twice" / f"f0.{suffix}"), image(0))
    assert fuse(visible, thermal) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("vi-fusion: ")
    assert sentence in said[-1]
    assert not (folders / "out").exists()


def test_wrong_options_are_one_sentence(folders, fuse, capsys):
    assert fuse("visible", "thermal", "--rig", folders / "no_such.yaml") == 2
    assert "no_such.yaml cannot be read" in capsys.readouterr().err
    assert fuse("visible", "thermal", "--model", folders / "no_such.onnx") == 2
    assert "no_such.onnx is missing" in capsys.readouterr().err
    assert fuse("visible", "thermal", "--threads", "0") == 2
    assert "threads is 0" in capsys.readouterr().err
    assert fuse(out="visible") == 2
    assert "never overwritten" in capsys.readouterr().err
    (folders / "file").write_text("")
    assert fuse(out="file") == 2
    assert "File exists" in capsys.readouterr().err


def test_a_video_that_breaks_off_leaves_nothing_half_written(tmp_path, fuse, monkeypatch):
    from vi_fusion_ros.pipeline import FusionPipeline

    video(tmp_path / "v.mp4", 6, 30)
    process, calls = FusionPipeline.process, []

    def interrupted(self, pair):
        calls.append(pair)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return process(self, pair)

    monkeypatch.setattr(FusionPipeline, "process", interrupted)
    assert fuse("v.mp4", "v.mp4") == 130
    assert files(tmp_path / "out") == []
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize("arguments", [[], ["no_such_command"], ["fuse"]])
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    assert leaving.value.code == 2
    assert "usage: vi-fusion" in capsys.readouterr().err


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["--help"])
    assert leaving.value.code == 0
    assert "fuse images, folders or videos" in capsys.readouterr().out


@pytest.mark.data
def test_real_images(data_dir, tmp_path, fuse):
    import zipfile

    with zipfile.ZipFile(data_dir / "roadscene_dev.zip") as archive:
        for name in archive.namelist():
            folder = name.split("/")[-2] if "/" in name else ""
            if folder in ("visible", "thermal") and not name.endswith("/"):
                target = tmp_path / folder / name.split("/")[-1]
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(archive.read(name))
    for folder in ("visible", "thermal"):
        for path in sorted((tmp_path / folder).iterdir())[5:]:
            path.unlink()
    assert fuse("visible", "thermal", "--gray") == 0
    assert len(files(tmp_path / "out")) == 5
    assert result(tmp_path)["totals"]["mean_overlap"] == 1


@pytest.mark.parametrize("offset_ms", [-200.0, 200.0])
def test_the_rigs_time_offset_shifts_videos(tmp_path, fuse, offset_ms):
    video(tmp_path / "v.mp4", 30, 30)
    video(tmp_path / "t.mp4", 30, 30)
    (tmp_path / "rig.yaml").write_text(f"version: 1\nH_thermal_to_visible: identity\ntime_offset_ms: {offset_ms}\n")
    assert fuse("v.mp4", "t.mp4", "--rig", str(tmp_path / "rig.yaml"), "--gray") == 0
    document = result(tmp_path)
    # Six frames of either video have no partner in the other.
    assert (document["totals"]["fused"], sum(document["totals"]["unpaired"].values())) == (24, 12)
    assert max(abs(frame["skew_ms"]) for frame in document["frames"]) < 1e-3
    # The tiny model shows the brighter of both, and the videos grow brighter: the later frame wins.
    assert fuse("v.mp4", "t.mp4", "--gray", out="unshifted") == 0
    shifted = cv2.imread(str(tmp_path / "out" / "000000.png"), 0).mean()
    still = cv2.imread(str(tmp_path / "unshifted" / "000000.png"), 0).mean()
    assert shifted == pytest.approx(still + 30, abs=3)
