import threading

import numpy as np

from vi_fusion_ros.registration import RegistrationManager, Rig

SIZE = (64, 48)


def rig_with(shift_px, **more):
    return Rig(np.array([[1, 0, shift_px], [0, 1, 0], [0, 0, 1.0]]), SIZE, SIZE, "test", **more)


def shift(manager):
    """By how many pixels a thermal image is moved now."""
    thermal = np.zeros(SIZE[::-1], np.uint8)
    thermal[:, 20] = 255
    registered, _, _ = manager.current().registration.apply(thermal, SIZE)
    return int(registered[0].argmax()) - 20


def test_a_rig_that_is_set_takes_the_place_of_the_one_before_with_all_it_says():
    manager = RegistrationManager(rig_with(3))
    other = rig_with(7, radiometry={"scale": 0.02, "offset": 0.0, "unit": "kelvin"})
    assert shift(manager) == 3
    manager.set_rig(other)
    assert manager.current().rig is other
    assert shift(manager) == 7


def test_the_maps_of_a_new_rig_are_ready_for_the_sizes_in_use():
    manager = RegistrationManager(rig_with(3))
    assert manager.prepare(rig_with(5)).sizes == (SIZE, SIZE)
    manager.current().registration.apply(np.zeros((24, 32), np.uint8), (128, 96))
    manager.set_rig(rig_with(5))
    assert manager.current().registration.sizes == ((32, 24), (128, 96))
    other_shape = Rig(np.eye(3), (50, 50), SIZE, "test")
    assert manager.prepare(other_shape).sizes == ((50, 50), SIZE)
    assert RegistrationManager(Rig.identity()).prepare(Rig.identity()).sizes is None


def test_a_correction_applies_until_another_rig_is_set():
    manager = RegistrationManager(rig_with(3))
    applied = manager.current()
    assert manager.correct(applied.revision, rig_with(6), SIZE, SIZE)
    assert shift(manager) == 6
    assert manager.current().rig is applied.rig
    manager.set_rig(rig_with(1))
    assert shift(manager) == 1


def test_a_correction_of_a_rig_that_no_longer_applies_is_refused():
    manager = RegistrationManager(rig_with(3))
    before = manager.current().revision
    manager.set_rig(rig_with(1))
    assert not manager.correct(before, rig_with(6), SIZE, SIZE)
    assert shift(manager) == 1
    before = manager.current().revision
    manager.reset()
    assert not manager.correct(before, rig_with(6), SIZE, SIZE)
    assert shift(manager) == 1


def test_reset_forgets_the_correction_and_nothing_else():
    manager = RegistrationManager(rig_with(3))
    manager.correct(manager.current().revision, rig_with(6), SIZE, SIZE)
    manager.reset()
    assert shift(manager) == 3
    manager.set_rig(rig_with(1))
    manager.reset()
    assert shift(manager) == 1


def test_geometry_and_radiometry_of_two_rigs_are_never_mixed():
    rigs = [rig_with(n, radiometry={"scale": 1.0 + n, "offset": 0.0, "unit": "kelvin"}) for n in range(4)]
    manager = RegistrationManager(rigs[0])
    done = threading.Event()

    def set_again_and_again():
        for n in range(200):
            manager.set_rig(rigs[n % len(rigs)])
            manager.correct(manager.current().revision, rigs[n % len(rigs)], SIZE, SIZE)
        done.set()

    thread = threading.Thread(target=set_again_and_again)
    thread.start()
    while not done.is_set():
        applied = manager.current()
        moved = applied.registration.rig.H_thermal_to_visible[0, 2]
        assert applied.rig.radiometry["scale"] == 1.0 + moved
    thread.join()
