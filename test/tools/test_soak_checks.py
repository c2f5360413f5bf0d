"""The soak's judgement on invented runs: it has to be silent where all is well, and to find each kind of fault."""

import cv2
import numpy as np
import pytest

from vi_fusion_ros.tools.soak.soak_checks import (
    SETTLE_S,
    EngineState,
    Violations,
    Watch,
    activation_faults,
    balance,
    broken_captures,
    engine_faults,
    growth_mb_per_10k,
)
from vi_fusion_ros.types import Mode

OK = {"visible": "ok", "thermal": "ok"}


class Run:
    """Outputs at 30 Hz, 50 ms old."""

    def __init__(self):
        self.violations = Violations()
        self.watch = Watch(self.violations)
        self.now = 10.0
        self.watch.cameras_back(self.now)

    def outputs(self, seconds, mode=Mode.BOTH, shift=0.0, age=0.05):
        end = self.now + seconds
        while self.now < end:
            self.now += 1 / 30
            self.watch.output(self.now, self.now + 1e9, self.now + 1e9 - age + shift, mode)

    @property
    def kinds(self):
        return set(self.violations.counts)


def test_a_healthy_run_and_right_modes():
    run = Run()
    run.outputs(3)
    run.watch.fault(run.now, "unplug", ["thermal"])
    run.outputs(SETTLE_S - 0.1)  # whatever the mode
    run.outputs(2, Mode.VISIBLE_ONLY)
    run.watch.status(run.now, {"visible": "ok", "thermal": "silent"}, {"published": 5})
    run.watch.fault(run.now, "", [])
    run.outputs(SETTLE_S - 0.1, Mode.VISIBLE_ONLY)
    run.outputs(2)
    run.watch.fault(run.now, "clock_jump", ["visible", "thermal"])
    run.outputs(2, shift=3600)
    run.watch.status(run.now, OK, {"published": 6})
    assert run.kinds == set()
    assert run.watch.judged["outputs"] > 100
    assert run.watch.longest_pause_s == pytest.approx(1 / 30, abs=1e-3)


def test_captures_have_to_be_whole(tmp_path):
    assert broken_captures(tmp_path / "none") == []
    whole = tmp_path / "capture_1"
    whole.mkdir()
    for name in ("result.json", "status.json"):
        (whole / name).write_text("{}")
    cv2.imwrite(str(whole / "fused.png"), np.zeros((4, 4), np.uint8))
    (tmp_path / ".abc.part").mkdir()
    assert broken_captures(tmp_path) == []
    (whole / "result.json").write_text('{"mode')
    (whole / "status.json").unlink()
    (whole / "fused.png").write_bytes((whole / "fused.png").read_bytes()[:20])
    assert broken_captures(tmp_path) == [
        "capture_1 lacks status.json", "capture_1/fused.png is broken", "capture_1/result.json is broken",
    ]  # fmt: skip


def test_a_wrong_mode():
    run = Run()
    run.watch.fault(run.now, "black", ["visible"])
    run.outputs(3, Mode.BOTH)
    assert run.kinds == {"mode"}


def test_output_while_no_camera_works():
    run = Run()
    run.watch.fault(run.now, "freeze", ["visible", "thermal"])
    run.outputs(3)
    assert run.kinds == {"mode"}


def test_a_pause_only_where_there_is_something_to_make_results_of():
    run = Run()
    run.outputs(1)
    run.watch.fault(run.now, "unplug", ["visible", "thermal"])
    run.now += 2
    run.watch.fault(run.now, "", [])
    run.outputs(1)
    assert run.kinds == set()
    run.now += 0.7
    run.outputs(1)
    assert run.kinds == {"pause"}


@pytest.mark.parametrize(("rate_hz", "kinds"), [(30.0, {"pause"}), (15.0, set()), (10.0, set())])
def test_slower_cameras_may_pause_longer(rate_hz, kinds):
    run = Run()
    run.watch = Watch(run.violations, rate_hz)
    run.watch.cameras_back(run.now)
    run.outputs(1)
    run.now += 0.6
    run.outputs(1)
    assert run.kinds == kinds


@pytest.mark.parametrize(("rate_hz", "kinds"), [(30.0, {"mode", "health"}), (10.0, set())])
def test_losses_may_silence_a_slow_camera(rate_hz, kinds):
    run = Run()
    run.watch = Watch(run.violations, rate_hz)
    run.watch.cameras_back(run.now)
    run.watch.fault(run.now, "drop", ["thermal"])
    run.outputs(2)
    run.outputs(1, Mode.VISIBLE_ONLY)
    run.watch.status(run.now, {"visible": "ok", "thermal": "silent"}, {})
    run.outputs(1)
    assert run.kinds == kinds


@pytest.mark.parametrize(
    ("kind", "health"), [("drop", {"visible": "black", "thermal": "silent"}), ("", OK), ("jitter", OK)]
)
def test_losses_of_a_slow_camera_excuse_nothing_else(kind, health):
    run = Run()
    run.watch = Watch(run.violations, 10.0)
    run.watch.cameras_back(run.now)
    run.watch.fault(run.now, "drop", ["thermal"])
    run.outputs(1, Mode.VISIBLE_ONLY)
    run.watch.fault(run.now, kind, ["thermal"])
    run.outputs(2)
    run.outputs(1, Mode.VISIBLE_ONLY)
    run.watch.status(run.now, health, {})
    run.outputs(1, Mode.VISIBLE_ONLY)
    assert run.kinds == ({"health"} if kind == "drop" else {"mode"})


@pytest.mark.parametrize(("age", "shift"), [(5.0, 0.0), (0.05, 3600.0), (-1.0, 0.0)])
def test_stale_output(age, shift):
    run = Run()
    run.outputs(1, age=age, shift=shift)
    assert run.kinds == {"stale"}


def test_late_output():
    run = Run()
    run.outputs(1, age=1.5)
    assert run.kinds == {"late"}


def test_the_same_stamp_twice():
    run = Run()
    run.watch.output(11.0, 1e9, 1e9 - 0.1, Mode.BOTH)
    run.watch.output(11.1, 1e9, 1e9 - 0.1, Mode.BOTH)
    run.watch.output(11.4, 1e9 + 0.3, 1e9 + 0.2, Mode.BOTH)
    run.watch.output(11.7, 1e9 + 0.6, 1e9 + 0.5, Mode.BOTH)
    assert run.kinds == {"stale"}


def test_a_fault_that_is_called_something_else():
    run = Run()
    run.watch.fault(run.now, "saturate", ["thermal"])
    run.outputs(2, Mode.VISIBLE_ONLY)
    run.watch.status(run.now, {"visible": "ok", "thermal": "black"}, {})
    run.outputs(1, Mode.VISIBLE_ONLY)
    assert run.kinds == {"health"}


def test_what_overtakes_the_news_of_a_fault_is_no_violation():
    run = Run()
    run.watch.fault(run.now, "black", ["visible", "thermal"])
    run.now += 3
    run.watch.status(run.now, {"visible": "recovering", "thermal": "recovering"}, {})
    run.outputs(0.2)
    run.watch.fault(run.now, "", [])
    run.outputs(2)
    run.outputs(0.2, shift=3600)
    run.watch.fault(run.now, "clock_jump", ["visible", "thermal"])
    run.outputs(2, shift=3600)
    assert run.kinds == set()


def test_after_a_standstill_modes_settle_again():
    run = Run()
    run.outputs(2)
    run.now += 0.4
    run.outputs(0.5, Mode.VISIBLE_ONLY)
    run.outputs(2)
    assert run.kinds == set()
    assert run.watch.judged["pauses"] == 1
    run.outputs(0.5, Mode.VISIBLE_ONLY)
    run.outputs(1)
    assert run.kinds == {"mode"}


def test_counters_that_go_back():
    run = Run()
    run.watch.status(run.now, OK, {"published": 5})
    run.watch.status(run.now, OK, {"published": 4})
    assert run.kinds == {"counters"}
    run.watch.node_gone()
    run.watch.status(run.now, OK, {"published": 6})  # of the old node, on its way for a while
    run.watch.cameras_back(run.now)
    run.watch.status(run.now, OK, {"published": 0})
    assert run.violations.counts["counters"] == 1
    run.watch.status(run.now, OK, {"published": 1})
    run.watch.status(run.now, OK, {"published": 0})
    assert run.violations.counts["counters"] == 2


def test_the_balance():
    counters = {
        "visible_received": 10, "thermal_received": 9, "published_both": 5, "published_visible_only": 2,
        "published_thermal_only": 1, "pending": 1,
    }  # fmt: skip
    assert balance(counters, {"late": 4, "skipped": 1}) == 0
    assert balance(counters, {"late": 3}) == 2


def test_growth():
    results = list(range(0, 20_000, 100))
    assert growth_mb_per_10k(results, [150 + r * 2e-4 for r in results]) == pytest.approx(2.0)
    assert growth_mb_per_10k(results[:5], [1.0] * 5) is None


def test_an_engine_that_has_failed():
    before = EngineState("ready", "it is there", errors=3, failed=1)
    told = "the kernel fell over"
    assert engine_faults(before, EngineState("fallback", f"it failed: {told}", errors=4, failed=1), told) == []
    assert engine_faults(before, EngineState("ready", "it is there", errors=3, failed=7), told) == [
        "the engine's state is ready instead of fallback",
        "the engine's reason does not tell of it: it is there",
        "it was not counted",
        "it cost 6 images",
    ]


def test_an_activation_that_has_failed():
    assert activation_faults("inactive", (["main"], ["main"]), 0, 0) == []
    assert activation_faults("active", (["main"], ["main", "worker", "worker"]), 2, 5) == [
        "the node is active instead of inactive",
        "threads are left: worker, worker",
        "2 subscriptions are left",
        "5 results came from an inactive node",
    ]
    assert activation_faults("inactive", (["main", "other"], ["main"]), 0, 0) == ["threads are left: fewer than before"]
