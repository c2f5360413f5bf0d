import json

import cv2
import numpy as np
import pytest
from matroska import write_mkv

from vi_fusion_ros.bags.message_types import typestore
from vi_fusion_ros.bags.writer import BagWriter
from vi_fusion_ros.cli import main
from vi_fusion_ros.registration import Rig
from vi_fusion_ros.registration.estimate.acceptance import require_surer_offset
from vi_fusion_ros.registration.estimate.time import Motion, time_offset
from vi_fusion_ros.sources.folder_stamps import stamped_images
from vi_fusion_ros.sources.video import Video


def walker(times_s, inverted=False, seed=0):
    """A disc that wanders about, as it is seen at some times."""
    random = np.random.default_rng(seed)
    path = np.cumsum(random.normal(0, 4, (900, 2)), 0) % 100
    for time_s in times_s:
        at = np.array([np.interp(time_s * 30 + 20, range(len(path)), path[:, k]) for k in (0, 1)])
        image = np.full((120, 160), 90, np.uint8)
        cv2.circle(image, tuple(int(v * 8) for v in at + 10), 9 * 8, 20 if inverted else 220, -1, cv2.LINE_AA, 3)
        yield image


def motion(stamps_s, images):
    found = Motion()
    for stamp_s, image in zip(stamps_s, images, strict=False):
        found.add(stamp_s, image)
    return found


@pytest.mark.parametrize("delay_ms", [-120, -50, 0, 40, 120])
def test_a_delay_is_found(delay_ms):
    stamps = np.arange(200) / 30
    visible = motion(stamps, walker(stamps))
    thermal = motion(stamps, walker(stamps - delay_ms / 1000, True))
    found = time_offset(visible, thermal)
    assert found.offset_ms == pytest.approx(-delay_ms, abs=10)
    assert found.uncertainty_ms < 10


def test_rates_and_stamps_may_differ_and_jitter_and_frames_be_lost():
    random = np.random.default_rng(5)
    visible_s = 1e9 + np.sort(np.arange(240) / 30 + random.normal(0, 0.004, 240))[random.random(240) > 0.1]
    thermal_s = 1e9 + np.arange(72) / 9
    visible = motion(visible_s, walker(visible_s - 1e9))
    thermal = motion(thermal_s, walker(thermal_s - 1e9 - 0.06, True))
    assert time_offset(visible, thermal).offset_ms == pytest.approx(-60, abs=20)


def test_a_shutter_that_closes_for_a_second():
    stamps = np.arange(240) / 30
    kept = (stamps < 2.5) | (stamps > 3.5)
    thermal_s = stamps[kept]
    found = time_offset(motion(stamps, walker(stamps)), motion(thermal_s, walker(thermal_s - 0.07, True)))
    assert found.offset_ms == pytest.approx(-70, abs=10)
    assert abs(found.offset_ms + 70) < 3 * found.uncertainty_ms + 1
    assert found.uncertainty_ms < 10


def test_no_delay_without_motion_or_with_too_few_frames():
    still = [np.full((120, 160), 90, np.uint8)] * 100
    one, other = motion(np.arange(100) / 30, still), motion(np.arange(100) / 30, still)
    with pytest.raises(ValueError, match="does not correlate"):
        time_offset(one, other)
    with pytest.raises(ValueError, match="too short"):
        time_offset(motion(np.arange(9) / 30, still), motion(np.arange(9) / 30, still))
    with pytest.raises(ValueError, match="too short"):  # clocks that never meet
        time_offset(one, motion(500 + np.arange(100) / 30, still))
    with pytest.raises(ValueError, match="more frames"):
        time_offset(motion([0.0], still), one)


def clip_frames(data_dir, name):
    videos = (Video(data_dir / "m3svd" / f"{name}_{camera}.mp4") for camera in ("visible", "thermal"))
    return [[frame.image for frame in video] for video in videos]


@pytest.mark.data
@pytest.mark.parametrize("name", ["0117_1605", "0113_1714"])
def test_a_real_pair_of_videos_that_is_shifted(data_dir, name):
    """By whole frames, and the rest by the stamps: offsets must not be drawn to whole frames."""
    (visible, thermal), stamps = clip_frames(data_dir, name), np.arange(600) / 30
    motions = {}
    for delay_ms in (-120, 0, 75):
        cut = round(delay_ms * 30 / 1000)
        if cut not in motions:
            motions[cut] = motion(stamps, visible[max(cut, 0) :]), motion(stamps, thermal[max(-cut, 0) :])
        seen, felt = motions[cut]
        late = Motion()
        late.energies = felt.energies
        late.times_s = [time_s + delay_ms / 1000 - cut / 30 for time_s in felt.times_s]
        assert time_offset(seen, late).offset_ms == pytest.approx(-delay_ms, abs=10)


@pytest.mark.data
def test_a_still_clip_and_clips_of_different_scenes_have_no_offset(data_dir):
    """Their codecs' key frames pulse alike."""
    clips = {name: clip_frames(data_dir, name) for name in ("1230_1202", "0113_1714")}
    motions = {name: [motion(np.arange(600) / 30, frames) for frames in pair] for name, pair in clips.items()}
    still, moving = motions["1230_1202"], motions["0113_1714"]
    for one, other in (still, (still[0], moving[1]), (moving[0], still[1])):
        with pytest.raises(ValueError, match="does not correlate"):
            time_offset(one, other)


def bag_of(path, delay_s):
    """Both cameras at 30 Hz, the thermal stamps late."""
    times = 100 + np.arange(150) / 30
    kind = "sensor_msgs/msg/Image"
    store = typestore()
    types = {name: store.types[name] for name in (kind, "std_msgs/msg/Header", "builtin_interfaces/msg/Time")}
    with BagWriter(path) as bag:
        streams = zip(times, walker(times - 100), walker(times - 100, True), strict=True)
        for time_s, *images in streams:
            for topic, image, late in (("/v", images[0], 0), ("/t", images[1], delay_s)):
                stamp = round((time_s + late) * 1e9)
                time = types["builtin_interfaces/msg/Time"](stamp // 10**9, stamp % 10**9)
                header = types["std_msgs/msg/Header"](time, topic[1:])
                h, w = image.shape
                message = types[kind](header, h, w, "mono8", 0, w, image.ravel())
                bag.write(topic, kind, stamp, message)
    return path


@pytest.mark.ros
@pytest.mark.parametrize("spelling", ["time", "--time"])
def test_the_command_on_a_bag_writes_into_the_rig(tmp_path, capsys, spelling):
    bag = bag_of(tmp_path / "b.mcap", 0.05)
    Rig(np.eye(3), (160, 120), (160, 120)).save(tmp_path / "rig.yaml")
    call = ["calibrate", spelling, "--bag", str(bag), "--visible-topic", "/v", "--thermal-topic", "/t", "--rig",
            str(tmp_path / "rig.yaml"), "--json", str(tmp_path / "t.json")]  # fmt: skip
    assert main(call) == 0
    assert "to thermal stamps (± " in capsys.readouterr().out
    assert Rig.load(tmp_path / "rig.yaml").time_offset_ms == pytest.approx(-50, abs=10)
    assert json.loads((tmp_path / "t.json").read_text())["offset_ms"] == pytest.approx(-50, abs=10)
    before = (tmp_path / "rig.yaml").read_bytes()
    sure = Rig.load(tmp_path / "rig.yaml").time_offset_uncertainty_ms
    assert sure is not None
    rig_text = before.decode().replace(f"time_offset_uncertainty_ms: {sure}", "time_offset_uncertainty_ms: 0.0001")
    (tmp_path / "rig.yaml").write_text(rig_text)
    assert main(call) == 2
    assert "is more certain than the new one" in capsys.readouterr().err
    assert (tmp_path / "rig.yaml").read_text() == rig_text
    call[call.index("/t")] = "/other"
    assert main(call) == 2
    assert "its image topics are: /t, /v" in capsys.readouterr().err


def test_the_command_on_videos_goes_by_the_stamps_of_their_frames(tmp_path, capsys):
    visible_s = np.arange(150) / 30
    thermal_s = np.concatenate([np.arange(60) / 30, 2 + np.arange(30) / 10])  # 30 Hz, then 10
    write_mkv(tmp_path / "v.mkv", visible_s, list(walker(visible_s)))
    write_mkv(tmp_path / "t.mkv", thermal_s, list(walker(thermal_s, True)))
    call = ["calibrate", "time", "--visible", str(tmp_path / "v.mkv"), "--thermal", str(tmp_path / "t.mkv")]
    assert main([*call, "--json", str(tmp_path / "t.json")]) == 0
    assert json.loads((tmp_path / "t.json").read_text())["offset_ms"] == pytest.approx(0, abs=20)
    assert capsys.readouterr().err == ""


def test_the_command_on_folders_says_which_rate_it_takes(tmp_path, capsys):
    times = np.arange(150) / 30
    for name, late in (("visible", 0), ("thermal", 2)):  # frames
        (tmp_path / name).mkdir()
        for number, image in enumerate(walker(times, name == "thermal")):
            cv2.imwrite(str(tmp_path / name / f"{number + late}.png"), image)
        for number in range(late):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), next(iter(walker(times[:1], True))))
    folders = ["--visible", str(tmp_path / "visible"), "--thermal", str(tmp_path / "thermal")]
    assert main(["calibrate", "time", *folders, "--json", str(tmp_path / "t.json")]) == 0
    assert json.loads((tmp_path / "t.json").read_text())["offset_ms"] == pytest.approx(-2000 / 30, abs=10)
    assert capsys.readouterr().err.count("give times; taken as 30 images a second") == 2


def written_folder(folder, times_s, names, inverted=False):
    folder.mkdir()
    for name, image in zip(names, walker(times_s, inverted), strict=True):
        cv2.imwrite(str(folder / f"{name}.png"), image)
    return folder


def folder_offset(tmp_path, visible, thermal):
    call = ["calibrate", "time", "--visible", visible, "--thermal", thermal, "--json", tmp_path / "t.json"]
    assert main([str(argument) for argument in call]) == 0
    return json.loads((tmp_path / "t.json").read_text())["offset_ms"]


def test_the_command_on_folders_goes_by_their_stamps(tmp_path, capsys):
    """Rates that are not 30 Hz, frames missing, and a thermal clock 70 ms late; one folder has a file of times."""
    visible_s, thermal_s = np.arange(160) / 20, np.delete(np.arange(72) / 9, slice(30, 36))
    nanoseconds = [round((1.7e9 + time_s) * 1e9) for time_s in visible_s]
    visible = written_folder(tmp_path / "v", visible_s, nanoseconds)
    late_s = 1.7e9 + thermal_s + 0.07
    seconds = written_folder(tmp_path / "t", thermal_s, [f"{time_s:.6f}".rstrip("0") for time_s in late_s], True)
    assert folder_offset(tmp_path, visible, seconds) == pytest.approx(-70, abs=20)
    listed = written_folder(tmp_path / "l", thermal_s, range(len(thermal_s)), True)
    (listed / "times.txt").write_text("# seconds\n" + "".join(f"{time_s:.6f}\n" for time_s in late_s))
    assert folder_offset(tmp_path, visible, listed) == pytest.approx(-70, abs=20)
    assert capsys.readouterr().err == ""
    (listed / "times.txt").unlink()
    assert stamped_images(listed) is None
    assert [path.stem for _, path in stamped_images(visible)] == [str(stamp) for stamp in nanoseconds]


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        ("0.0\n0.1\n", "times.txt has 2 times; expected one a line for each of 3 images"),
        ("0.0\n0.1\nnoon\n", "times.txt, line 3: 'noon' is no time in seconds"),
        ("0.0\n0.2\n0.1\n", "do not rise: 2.png, 0.100000 s, follows 1.png, 0.200000 s"),
    ],
)
def test_times_of_a_folder_that_are_wrong_are_one_sentence(tmp_path, capsys, times, sentence):
    folder = written_folder(tmp_path / "v", np.arange(3) / 30, range(3))
    (folder / "times.txt").write_text(times)
    assert main(["calibrate", "time", "--visible", str(folder), "--thermal", str(folder)]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "give one of"),
        (["--visible", "v.mp4"], "belong together"),
        (["--bag", "b", "--live"], "give one of"),
        (["--bag", "b"], "--visible-topic and --thermal-topic are needed"),
        (["--visible", "v.mp4", "--thermal", "t.mp4"], "v.mp4 is missing"),
        (["--bag", "nowhere", "--visible-topic", "/v", "--thermal-topic", "/t"], "no such bag"),
    ],
)
def test_wrong_inputs_are_one_sentence(capsys, options, sentence):
    assert main(["calibrate", "time", *options]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_an_offset_that_is_hardly_known_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="more than half a frame"):
        require_surer_offset(tmp_path / "rig.yaml", Rig.identity(), 5.0, 20.0, 33.3)
    require_surer_offset(tmp_path / "rig.yaml", Rig.identity(), 5.0, 10.0, 33.3)
