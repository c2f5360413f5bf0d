import numpy as np
import pytest
import yaml

from vi_fusion_ros.registration import Rig
from vi_fusion_ros.registration.rig import scaling

GOOD = {
    "version": 1,
    "H_thermal_to_visible": [[2, 0, 10], [0, 2, 20], [0, 0, 1]],
    "thermal_size": [320, 256],
    "visible_size": [640, 512],
    "notes": "made for a test",
}


def write(path, **changes):
    document = {key: value for key, value in {**GOOD, **changes}.items() if value != "absent"}
    path.write_text(yaml.safe_dump(document))
    return path


def maps(homography, x, y):
    u, v, w = homography @ (x, y, 1)
    return u / w, v / w


def test_a_good_file(tmp_path):
    path = write(tmp_path / "rig.yaml")
    rig = Rig.load(str(path))
    np.testing.assert_array_equal(rig.H_thermal_to_visible, GOOD["H_thermal_to_visible"])
    assert rig.H_thermal_to_visible.dtype == np.float64
    assert (rig.thermal_size, rig.visible_size, rig.source) == ((320, 256), (640, 512), str(path))


def test_the_example_of_the_package(repo_root):
    rig = Rig.load(repo_root / "config" / "rigs" / "example.yaml")
    assert rig.thermal_size == (640, 512)


def test_identity_without_a_file_scales_to_the_visible_size():
    homography = Rig.identity().homography((320, 240), (640, 480))
    assert maps(homography, -0.5, -0.5) == (-0.5, -0.5)
    assert maps(homography, 319.5, 239.5) == (639.5, 479.5)
    np.testing.assert_array_equal(Rig.identity().homography((640, 480), (640, 480)), np.eye(3))
    assert Rig.identity().source == "identity"


@pytest.mark.parametrize("sizes", ["with sizes", "without"])
def test_identity_in_a_file(tmp_path, sizes):
    changes = {} if sizes == "with sizes" else {"thermal_size": "absent", "visible_size": "absent"}
    rig = Rig.load(write(tmp_path / "rig.yaml", H_thermal_to_visible="identity", **changes))
    np.testing.assert_allclose(rig.homography((160, 128), (640, 512)), scaling((160, 128), (640, 512)), atol=1e-12)


def test_other_sizes_of_the_same_aspect_scale_the_homography(tmp_path):
    rig = Rig.load(write(tmp_path / "rig.yaml"))
    half = rig.homography((640, 512), (320, 256))  # twice the thermal size, half the visible size
    # The same point of the scene, in areas: calibrated at thermal (100, 50), which is visible (210, 120).
    thermal = (100 + 0.5) * 2 - 0.5, (50 + 0.5) * 2 - 0.5
    np.testing.assert_allclose(maps(half, *thermal), ((210 + 0.5) / 2 - 0.5, (120 + 0.5) / 2 - 0.5))


@pytest.mark.parametrize(
    ("thermal", "visible", "camera"),
    [((320, 240), (640, 512), "thermal image of 320x240"), ((320, 256), (640, 360), "visible image of 640x360")],
)
def test_another_aspect_is_refused(tmp_path, thermal, visible, camera):
    with pytest.raises(ValueError, match=f"{camera} does not fit .*rig.yaml; expected"):
        Rig.load(write(tmp_path / "rig.yaml")).homography(thermal, visible)


WRONG = {
    "no version": ({"version": "absent"}, "version is None; expected 1"),
    "another version": ({"version": 2}, "version is 2; expected 1"),
    "version true": ({"version": True}, "version is True"),
    "no matrix": ({"H_thermal_to_visible": "absent"}, "H_thermal_to_visible is missing"),
    "a typo": ({"visible_sise": [1, 2]}, "unknown key 'visible_sise'"),
    "two rows": ({"H_thermal_to_visible": [[1, 0, 0], [0, 1, 0]]}, r"shape \(2, 3\)"),
    "ragged rows": ({"H_thermal_to_visible": [[1, 0], [0, 1, 0], [0, 0, 1]]}, "three rows of three finite numbers"),
    "words": ({"H_thermal_to_visible": "eye"}, "is 'eye'; expected three rows"),
    "nothing": ({"H_thermal_to_visible": None}, "expected three rows"),
    "NaN": ({"H_thermal_to_visible": [[1, 0, float("nan")], [0, 1, 0], [0, 0, 1]]}, "not finite"),
    "infinity": ({"H_thermal_to_visible": [[1, 0, float("inf")], [0, 1, 0], [0, 0, 1]]}, "not finite"),
    "zeros": ({"H_thermal_to_visible": [[0, 0, 0]] * 3}, "singular"),
    "singular": ({"H_thermal_to_visible": [[1, 2, 3], [2, 4, 6], [0, 0, 1]]}, "singular"),
    "horizon in the image": ({"H_thermal_to_visible": [[1, 0, 0], [0, 1, 0], [-0.01, 0, 1]]}, "infinity"),
    "beside": ({"H_thermal_to_visible": [[1, 0, 5000], [0, 1, 0], [0, 0, 1]]}, "beside the visible one"),
    "no thermal size": ({"thermal_size": "absent"}, "thermal_size is missing"),
    "no visible size": ({"visible_size": "absent"}, "visible_size is missing"),
    "one side": ({"visible_size": [640]}, r"visible_size is \[640\]; expected \[width, height\]"),
    "a side of zero": ({"visible_size": [640, 0]}, "visible_size"),
    "a fraction of a pixel": ({"thermal_size": [640.5, 512]}, "thermal_size"),
    "a size in words": ({"thermal_size": "640x512"}, "thermal_size is '640x512'"),
}


@pytest.mark.parametrize(("changes", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_file_is_one_sentence_with_its_path(tmp_path, changes, sentence):
    path = write(tmp_path / "rig.yaml", **changes)
    with pytest.raises(ValueError, match=sentence) as error:
        Rig.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read: No such file"),
        (b"", "expected keys and values"),
        (b"H_thermal_to_visible: [1, 2", "is not YAML"),
        (b"- 1\n- 2\n", "expected keys and values"),
        (b"\xff\xfe\x00\x01", "it is not text"),
        (b"!!python/object:os.system {}", "is not YAML"),
    ],
)
def test_what_is_no_rig_file(tmp_path, content, sentence):
    path = tmp_path / "rig.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=sentence) as error:
        Rig.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_is_no_rig_file(tmp_path):
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        Rig.load(tmp_path)
