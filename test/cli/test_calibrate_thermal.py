import cv2
import numpy as np
from matroska import write_mkv

from vi_fusion_ros.cli import main
from vi_fusion_ros.thermal import without_dead_pixels

SHAPE = (120, 160)


def capped(folder, count=20):
    """Frames of a lens cap: noise, a pattern that stays, and three pixels that stand out or never change."""
    folder.mkdir()
    pattern = np.random.default_rng(0).normal(0, 6, SHAPE)
    for number in range(count):
        noise = np.random.default_rng(1 + number).normal(0, 5, SHAPE)
        image = (29500 + pattern + noise).astype(np.uint16)
        image[10, 20], image[50, 60], image[100, 150] = 16000, 40000, 29500
        cv2.imwrite(str(folder / f"{number:03d}.png"), image)
    return pattern


def run(folder, out):
    return main(["calibrate", "thermal", "--thermal", str(folder), "--out", str(out)])


def test_dead_pixels_and_pattern_are_found(tmp_path, capsys):
    pattern = capped(tmp_path / "cap")
    assert run(tmp_path / "cap", tmp_path / "out") == 0
    assert "3 dead pixels of 160x120" in capsys.readouterr().out
    dead = cv2.imread(str(tmp_path / "out" / "dead_pixels.png"), cv2.IMREAD_UNCHANGED)
    assert {(int(y), int(x)) for y, x in np.argwhere(dead)} == {(10, 20), (50, 60), (100, 150)}
    flat = cv2.imread(str(tmp_path / "out" / "flat_field.tiff"), cv2.IMREAD_UNCHANGED)
    assert flat.dtype == np.float32
    good = dead == 0
    assert np.std((flat - pattern)[good]) < 2
    image = cv2.imread(str(tmp_path / "cap" / "000.png"), cv2.IMREAD_UNCHANGED)
    repaired = without_dead_pixels(image, dead != 0) - flat
    assert repaired.std() < 6  # the noise alone is 5


def test_a_video_of_grey_in_three_channels(tmp_path, capsys):
    rng = np.random.default_rng(3)
    frames = [np.dstack([(120 + rng.normal(0, 3, SHAPE)).clip(0, 255).astype(np.uint8)] * 3) for _ in range(12)]
    write_mkv(tmp_path / "cap.mkv", [n / 30 for n in range(12)], frames)
    assert run(tmp_path / "cap.mkv", tmp_path / "out") == 0
    assert "of 160x120" in capsys.readouterr().out


def test_a_scene_too_few_frames_and_nothing_at_all_are_refused(tmp_path, capsys):
    capped(tmp_path / "few", 4)
    scene = tmp_path / "scene"
    scene.mkdir()
    ys, xs = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for number in range(12):
        noise = np.random.default_rng(number).normal(0, 5, SHAPE)
        image = 29500 + 300 * ((xs // 37 + ys // 29) % 2) + noise
        cv2.imwrite(str(scene / f"{number}.png"), image.astype(np.uint16))
    (tmp_path / "empty").mkdir()
    for folder, sentence in (
        ("few", "4 frames"),
        ("scene", "cover the lens"),
        ("empty", "no image"),
        ("no", "missing"),
    ):
        assert run(tmp_path / folder, tmp_path / "out") == 2
        said = capsys.readouterr().err
        assert sentence in said
        assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
