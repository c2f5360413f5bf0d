import struct

import numpy as np
import pytest

from vi_fusion_ros.images.telemetry import Telemetry

STATES = {"never commanded": 0, "imminent": 1, "in progress": 2, "complete": 3}


def lepton(state, rows, width=160):
    telemetry = np.full((abs(rows), width), 0xFFFF, np.uint16)
    telemetry[0, 3] = state << 4 | 0x1008  # AGC on, correction desired
    return with_rows(telemetry, rows)


def boson(state, rows, packing, width=320):
    """Two bytes in each pixel, or one."""
    octets = bytearray(2 * width if packing == "words" else width)

    def words(at, *values):  # of 16 bits, the higher of two first, at a byte
        octets[at : at + 2 * len(values)] = struct.pack(f"<{len(values)}H", *values)

    words(0, 2, 1, 0x86A5, 2, 0x1D34)  # revision, serial numbers of camera and sensor
    octets[10:30] = b"20640A012-6IARX\0\0\0\0\0"
    words(44, 0, 3, 0, 0, 0, 26440, 60)  # software, frame rate
    words(76, state | 1 << 2 | 1 << 5)  # and low gain, a correction desired
    words(84, 3, 0x0202, 3, 0x0102)  # frames, and those until the last correction
    words(94, 3105, 3102)  # tenths of a kelvin
    telemetry = np.zeros((abs(rows), width), np.uint16)
    telemetry[0] = np.frombuffer(octets, "<u2" if packing == "words" else np.uint8)
    return with_rows(telemetry, rows)


def with_rows(telemetry, rows):
    picture = np.full((120, telemetry.shape[1]), 0xFFEF, np.uint16)
    return np.vstack([picture, telemetry] if rows > 0 else [telemetry, picture])


@pytest.mark.parametrize("rows", [2, 3, -2, -3])
@pytest.mark.parametrize("state", STATES)
def test_the_state_of_a_leptons_correction(state, rows):
    closed = Telemetry("lepton", rows).shutter_closed(lepton(STATES[state], rows))
    assert closed is (state == "in progress")


@pytest.mark.parametrize("packing", ["words", "bytes"])
@pytest.mark.parametrize("rows", [2, -2])
@pytest.mark.parametrize("state", STATES)
def test_the_state_of_a_bosons_correction(state, rows, packing):
    closed = Telemetry("boson", rows).shutter_closed(boson(STATES[state], rows, packing))
    assert closed is (None if state == "never commanded" else state == "in progress")


@pytest.mark.parametrize(
    ("kind", "picture"),
    [
        ("none", lepton(2, 2)),
        ("lepton", lepton(2, 2).astype(np.uint8)),
        ("lepton", lepton(2, 2).astype(np.float32)),
        ("lepton", lepton(2, 2)[..., None]),
        ("lepton", lepton(2, 2)[:2]),
        ("lepton", lepton(2, 2)[:, :3]),
        ("boson", boson(2, 2, "words").astype(np.uint8)),
        ("boson", boson(2, 2, "words")[:, :76]),
        ("boson", np.zeros((258, 320), np.uint16)),
    ],
)
def test_where_nothing_can_be_read_nothing_is_said(kind, picture):
    assert Telemetry(kind, 2).shutter_closed(picture) is None
