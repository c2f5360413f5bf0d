"""Stream health, on a clock of the test's own."""

import numpy as np
import pytest

from vi_fusion_ros.sync.health import OTHER, Fault, HealthMonitor, Limits, Route, exposure_fault

PERIOD_S = 1 / 30
LOOK_S = 0.1  # images are looked at every tenth of a second
LIMITS = Limits(silence_s=0.3, fault_s=0.5, recovery_s=0.5)


def living(camera, number):
    """An image that is never the same twice."""
    image = np.random.default_rng(number).integers(40, 200, (48, 64), np.uint8)
    return image if camera == "thermal" else np.dstack([image] * 3)


class Rig:
    """Two cameras at 30 Hz and a monitor; a camera shows the image that a function of the frame number makes."""

    def __init__(self, limits=LIMITS):
        self.now_s, self.number = 100.0, 0
        self.monitor = HealthMonitor(limits, self.now_s)

    def step(self, **images):
        """One frame of each camera in ``images`` (True: a living one); routes and, of what is used, usability."""
        self.now_s += PERIOD_S
        self.number += 1
        routes = {camera: self.monitor.arrived(camera, self.now_s) for camera in images}
        shown = {
            camera: living(camera, self.number) if image is True else image
            for camera, image in images.items()
            if routes[camera] is not Route.leave_out
        }
        used = {camera for camera, image in shown.items() if self.monitor.usable(camera, image, self.now_s)}
        return routes, used

    def run(self, seconds, **images):
        """Step for a while; what was used at each step, with the time since the start."""
        start, history = self.now_s, []
        while self.now_s - start < seconds - 1e-9:
            _, used = self.step(**images)
            history.append((self.now_s - start, used))
        return history

    @property
    def faults(self):
        return self.monitor.faults(self.now_s)


def first(history, used):
    """When ``used`` was first all that was used."""
    return next(time for time, now in history if now == used)


BOTH = {"visible", "thermal"}

BAD_IMAGES = {
    Fault.black: {"visible": np.zeros((48, 64, 3), np.uint8), "thermal": np.zeros((48, 64), np.uint16)},
    Fault.saturated: {
        "visible": np.full((48, 64, 3), 255, np.uint8), "thermal": np.full((48, 64), 65535, np.uint16),
    },
    Fault.frozen: {"visible": living("visible", 1), "thermal": living("thermal", 1)},
}  # fmt: skip


@pytest.mark.parametrize("camera", ["visible", "thermal"])
@pytest.mark.parametrize("fault", list(BAD_IMAGES))
def test_a_bad_stream_is_left_out_after_the_stated_time_and_taken_back_with_hysteresis(camera, fault):
    rig, other = Rig(), OTHER[camera]
    assert all(used == BOTH for _, used in rig.run(1, visible=True, thermal=True))
    bad = rig.run(2, **{camera: BAD_IMAGES[fault][camera], other: True})
    assert first(bad, {other}) == pytest.approx(LIMITS.fault_s, abs=2 * LOOK_S)
    assert all(other in used for _, used in bad)  # the good stream never pauses
    assert rig.faults == {camera: fault, other: None}
    good = rig.run(2, visible=True, thermal=True)
    assert first(good, BOTH) == pytest.approx(LIMITS.recovery_s, abs=2 * LOOK_S)
    assert [used for _, used in good] == sorted((used for _, used in good), key=len)  # no flicker
    assert rig.faults == {camera: None, other: None}


def test_a_closed_shutter_leaves_the_visible_camera_alone():
    rows, columns = np.mgrid[:240, :320]
    scene = (29500 + 200 * np.sin(columns / 23) * np.cos(rows / 17)).astype(np.uint16)
    rig, noise = Rig(), np.random.default_rng(0)

    def step(image):
        return rig.step(visible=True, thermal=(image + noise.integers(0, 16, image.shape)).astype(np.uint16))[1]

    assert all(step(scene) == BOTH for _ in range(30))
    closed = [step(np.full_like(scene, 29600)) for _ in range(20)]
    assert closed.index({"visible"}) * PERIOD_S <= LOOK_S
    assert rig.faults["thermal"] is Fault.shuttered
    opened = [step(scene) for _ in range(30)]
    assert opened.index(BOTH) * PERIOD_S == pytest.approx(LIMITS.recovery_s, abs=2 * LOOK_S)


@pytest.mark.parametrize("camera", ["visible", "thermal"])
def test_a_silent_stream_leaves_the_other_alone_until_it_is_back_for_a_while(camera):
    rig, other = Rig(), OTHER[camera]
    rig.run(1, visible=True, thermal=True)
    routes = []
    routes = [rig.step(**{other: True})[0][other] for _ in range(30)]
    assert routes.index(Route.alone) * PERIOD_S == pytest.approx(LIMITS.silence_s, abs=1.1 * PERIOD_S)
    assert set(routes[routes.index(Route.alone) :]) == {Route.alone}
    assert rig.faults[camera] is Fault.silent
    back = [rig.step(visible=True, thermal=True)[0] for _ in range(30)]
    waiting = [route for route in back if route == {camera: Route.leave_out, other: Route.alone}]
    assert len(waiting) * PERIOD_S == pytest.approx(LIMITS.recovery_s, abs=1.1 * PERIOD_S)
    assert back[len(waiting) :] == [{"visible": Route.pair, "thermal": Route.pair}] * (30 - len(waiting))


def test_a_loose_plug_does_not_make_the_mode_flicker():
    rig = Rig()
    rig.run(1, visible=True, thermal=True)
    rig.run(0.5, visible=True)
    for _ in range(6):
        assert rig.step(visible=True, thermal=True)[0]["thermal"] is Route.leave_out
        assert all(used == {"visible"} for _, used in rig.run(0.4, visible=True))


def test_both_gone_and_both_back_resume_at_once():
    rig = Rig()
    rig.run(1, visible=True, thermal=True)
    rig.now_s += 5
    assert rig.faults == {"visible": Fault.silent, "thermal": Fault.silent}
    routes, _ = rig.step(visible=True, thermal=True)
    assert set(routes.values()) == {Route.pair}
    assert all(used == BOTH for _, used in rig.run(1, visible=True, thermal=True))


def test_one_that_is_getting_well_is_better_than_none():
    rig = Rig()
    rig.run(1, visible=True, thermal=True)
    rig.run(2, visible=True, thermal=BAD_IMAGES[Fault.frozen]["thermal"])
    rig.run(0.1, visible=True, thermal=True)
    assert rig.monitor.describe(rig.now_s) == {"visible": "ok", "thermal": "recovering"}
    black = rig.run(0.7, visible=BAD_IMAGES[Fault.black]["visible"], thermal=True)
    assert black[-1][1] == {"thermal"}


def test_a_stream_that_has_never_come_leaves_the_other_alone():
    rig = Rig()
    routes = [rig.step(thermal=True)[0]["thermal"] for _ in range(15)]
    assert routes[0] is Route.pair
    assert routes[-1] is Route.alone


def test_a_slow_camera_is_not_silent_between_its_images():
    rig = Rig()
    for number in range(90):
        routes, _ = rig.step(visible=True, **({"thermal": True} if number % 15 == 0 else {}))
        if number > 31:  # its period is known from its second image on, and then it has to recover
            assert set(routes.values()) == {Route.pair}


def test_a_single_bad_image_changes_nothing():
    rig = Rig()
    for _ in range(20):
        assert rig.step(visible=True, thermal=BAD_IMAGES[Fault.black]["thermal"])[1] == BOTH
        assert all(used == BOTH for _, used in rig.run(0.4, visible=True, thermal=True))


def test_nothing_is_looked_at_where_the_limit_is_zero():
    rig = Rig(Limits(silence_s=0, fault_s=0))
    assert all(used == BOTH for _, used in rig.run(2, **{c: BAD_IMAGES[Fault.black][c] for c in BOTH}))
    assert rig.step(visible=True)[0] == {"visible": Route.pair}


@pytest.mark.parametrize(
    ("image", "camera", "fault"),
    [
        (np.full((60, 80), 3, np.uint8), "visible", Fault.black),
        (np.full((60, 80), 3, np.uint8), "thermal", None),
        (np.full((60, 80), 252, np.uint8), "thermal", Fault.saturated),
        (np.full((60, 80), 16383, np.uint16), "thermal", Fault.saturated),
        (np.full((60, 80), 29000, np.uint16), "thermal", None),
        (np.full((60, 80), np.nan, np.float32), "thermal", None),
        (np.zeros((0, 80), np.uint8), "visible", None),
    ],
)
def test_exposure(image, camera, fault):
    assert exposure_fault(image, camera) is fault


def test_a_night_with_a_few_lamps_is_not_black():
    night = np.random.default_rng(0).integers(0, 4, (480, 640, 3)).astype(np.uint8)
    assert exposure_fault(night, "visible") is Fault.black
    night[200:280, 300:400] = 180
    assert exposure_fault(night, "visible") is None
