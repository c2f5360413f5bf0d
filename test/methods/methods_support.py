"""What the tests of the methods share."""

import numpy as np


def within_one_level(fused, wanted):
    """Share of the pixels that differ by one level at most."""
    return (np.abs(fused.astype(int) - wanted) <= 1).mean()


def stripes_and_square():
    """A warm square that the visible camera does not see, and stripes that the thermal one does not."""
    visible = np.full((64, 96), 90, np.uint8)
    visible[:, 60:90:4] = 200
    thermal = np.full((64, 96), 60, np.uint8)
    thermal[20:40, 10:30] = 230
    return visible, thermal
