import cv2
import numpy as np
import pytest

from vi_fusion_ros.node.parameters import schema
from vi_fusion_ros.thermal import Destriper, ThermalCamera, dead_pixels, flat_field

SHAPE = (60, 80)


def camera(rig=None, **settings):
    changed = {f"thermal.{name}": value for name, value in settings.items()}
    return ThermalCamera(schema.defaults() | changed, rig)


def counts(level=30000, noise=5.0, seed=0):
    return np.random.default_rng(seed).normal(level, noise, SHAPE).astype(np.uint16)


@pytest.mark.parametrize(
    ("settings", "rig", "kelvin"),
    [
        ({"radiometry": "tlinear_0.01"}, None, 300.0),
        ({"radiometry": "tlinear_0.04"}, None, 1200.0),
        ({"radiometry": "linear", "scale": 0.02, "offset": -300.0, "unit": "celsius"}, None, 573.15),
        ({}, {"scale": 0.01, "offset": 0.0, "unit": "kelvin"}, 300.0),
        ({"radiometry": "tlinear_0.04"}, {"scale": 0.01, "offset": 0.0, "unit": "kelvin"}, 1200.0),
    ],
)
def test_the_declared_radiometry_counts(settings, rig, kelvin):
    radiometry = camera(rig, **settings).radiometry
    assert radiometry.kelvin(np.array([[30000]], np.uint16))[0, 0] == pytest.approx(kelvin)


@pytest.mark.parametrize("kind", ["rig", "none", "raw14", "agc8"])
def test_without_radiometry_there_is_no_temperature(kind):
    assert camera(radiometry=kind).radiometry is None


def test_a_range_is_in_kelvin_where_that_is_known():
    mapper = camera(radiometry="tlinear_0.04", tone_mapping="range", range=[273.15, 313.15]).tone_mapper()
    image = np.array([[273.15, 293.15, 313.15]]) / 0.04
    np.testing.assert_allclose(mapper(np.rint(image).astype(np.uint16)).astype(int), [[0, 127.5, 255]], atol=1)


def test_a_range_is_in_counts_where_it_is_not():
    mapper = camera(tone_mapping="range", range=[1000, 2000]).tone_mapper()
    np.testing.assert_array_equal(mapper(np.array([[1000, 2000]], np.uint16)), [[0, 255]])


@pytest.mark.parametrize("tone_mapping", ["percentile", "plateau"])
def test_a_blank_scene_of_known_scale_is_not_stretched_to_noise(tone_mapping):
    image = counts(noise=3)  # 0.03 K
    known = camera(radiometry="tlinear_0.01", tone_mapping=tone_mapping).tone_mapper()(image)
    unknown = camera(tone_mapping=tone_mapping).tone_mapper()(image)
    assert known.std() < unknown.std() / 3


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"radiometry": "tlinear"}, "'tlinear' is unknown; expected rig, none"),
        ({"radiometry": "linear", "scale": 0.0}, "radiometry scale 0"),
        ({"tone_mapping": "range", "range": [5.0, 5.0]}, "tone mapping range"),
        ({"radiometry": "tlinear_0.01", "tone_mapping": "range"}, "in kelvin where the radiometry is known"),
        ({"dead_pixels": "/no/such.png"}, "thermal.dead_pixels /no/such.png: cannot be read"),
        ({"flat_field": "/no/such.tiff"}, "thermal.flat_field /no/such.tiff: cannot be read"),
    ],
)
def test_wrong_settings_are_one_sentence(settings, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        camera(**settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "image", "sentence"),
    [
        (
            "tlinear_0.01",
            np.zeros(SHAPE, np.uint8),
            "but thermal.radiometry is tlinear_0.01, which is uint16",
        ),
        ("tlinear_0.04", np.zeros(SHAPE, np.float32), "of float32, but"),
        ("agc8", np.zeros(SHAPE, np.uint16), "of uint16, but thermal.radiometry is agc8"),
        ("raw14", counts(), "ends at 16383; is it TLinear"),
    ],
)
def test_images_of_another_kind_are_refused(kind, image, sentence):
    with pytest.raises(ValueError, match=sentence):
        camera(radiometry=kind).prepare(image)


def test_without_declared_defects_an_image_passes_as_it_is():
    image = counts()
    assert camera().prepare(image) is image


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_declared_defects_are_repaired(tmp_path, dtype):
    random = np.random.default_rng(0)
    pattern, columns = random.normal(0, 30, SHAPE), random.normal(0, 20, SHAPE[1])
    dead = np.zeros(SHAPE, bool)
    dead[10, 20] = dead[30, 5] = True

    def take(seed, moving=0.0):
        image = 30000 + pattern + moving + np.random.default_rng(seed).normal(0, 4, SHAPE)
        image[dead] = 0
        return image.astype(dtype)

    caps = [take(n) for n in range(1, 30)]
    np.testing.assert_array_equal(dead_pixels(caps), dead)
    cv2.imwrite(str(tmp_path / "dead.png"), dead.astype(np.uint8) * 255)
    repaired = [camera(dead_pixels=str(tmp_path / "dead.png")).prepare(cap) for cap in caps]
    cv2.imwrite(str(tmp_path / "flat.tiff"), flat_field(repaired))
    whole = camera(dead_pixels=str(tmp_path / "dead.png"), flat_field=str(tmp_path / "flat.tiff"), destripe=True)
    image = whole.prepare(take(99, moving=columns))
    assert (image.dtype, image.shape) == (dtype, SHAPE)
    assert image.std() < 12
    assert take(99, moving=columns)[~dead].std() > 30
    with pytest.raises(ValueError, match=r"does not fit"):
        whole.prepare(take(0)[:40])


def test_stripes_go_and_a_pole_stays():
    random = np.random.default_rng(0)
    columns = random.normal(0, 20, 320)
    scene = np.tile(30000 + 100 * np.sin(np.arange(320) / 60), (240, 1))
    scene[:100, 150:156] += 400  # a pole that is less than half as high as the image
    destriper = Destriper()
    for _ in range(30):
        image = (scene + columns + random.normal(0, 8, scene.shape)).astype(np.uint16)
        offsets = destriper.offsets(image)
    left = image - offsets - scene
    assert left.mean(0).std() < columns.std() / 4
    assert np.abs(left[:100, 150:156].mean()) < 20


def test_extremes_stay_within_their_depth(tmp_path):
    cv2.imwrite(str(tmp_path / "flat.tiff"), np.tile(np.float32([[-500, 500]]), (60, 40)))
    image = np.tile(np.array([[65500, 100]], np.uint16), (60, 40))
    prepared = camera(flat_field=str(tmp_path / "flat.tiff")).prepare(image)
    assert (prepared[0, 0], prepared[0, 1]) == (65535, 0)
