import numpy as np
import pytest

from vi_fusion_ros.images.telemetry import Telemetry

STATES = {"never commanded": 0, "imminent": 1, "in progress": 2, "complete": 3}


def image(state, rows, width=160):
    telemetry = np.full((abs(rows), width), 0xFFFF, np.uint16)
    telemetry[0, 3] = state << 4 | 0x1008  # AGC on, correction desired
    picture = np.full((120, width), 0xFFEF, np.uint16)
    return np.vstack([picture, telemetry] if rows > 0 else [telemetry, picture])


@pytest.mark.parametrize("rows", [2, 3, -2, -3])
@pytest.mark.parametrize("state", STATES)
def test_the_state_of_a_leptons_correction(state, rows):
    closed = Telemetry("lepton", rows).shutter_closed(image(STATES[state], rows))
    assert closed is (state == "in progress")


@pytest.mark.parametrize(
    ("kind", "picture"),
    [
        ("none", image(2, 2)),
        ("lepton", image(2, 2).astype(np.uint8)),
        ("lepton", image(2, 2).astype(np.float32)),
        ("lepton", image(2, 2)[..., None]),
        ("lepton", image(2, 2)[:2]),
        ("lepton", image(2, 2)[:, :3]),
    ],
)
def test_where_nothing_can_be_read_nothing_is_said(kind, picture):
    assert Telemetry(kind, 2).shutter_closed(picture) is None
