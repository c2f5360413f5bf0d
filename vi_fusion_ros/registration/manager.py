"""What registration applies: one owner of the rig, its radiometry and the drift monitor's correction."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from vi_fusion_ros.registration.rig import Rig, Size
from vi_fusion_ros.registration.warp import Registration


@dataclass(frozen=True, eq=False)
class AppliedRig:
    """What applies to one pair. Geometry and radiometry are those of one rig: they change together or not at all.

    Attributes:
        rig: as it was set, with its radiometry and its time offset, without a correction.
        registration: the warp, with the correction where there is one. Only the thread that fuses may use it.
        revision: rises with each rig that is set and each reset; a correction does not change it.
    """

    rig: Rig
    registration: Registration
    revision: int = 0


class RegistrationManager:
    """Owns what applies now; whatever registers, measures temperatures or watches the drift asks it. Thread-safe.

    Args:
        rig: applies first.
    """

    def __init__(self, rig: Rig) -> None:
        self._lock = threading.Lock()
        self._uncorrected = Registration(rig)
        self._applied = AppliedRig(rig, self._uncorrected)

    def current(self) -> AppliedRig:
        """What applies to a pair that is fused now."""
        with self._lock:
            return self._applied

    def prepare(self, rig: Rig) -> Registration:
        """A registration with its maps made, for the image sizes in use or else those of the rig; applies nothing.

        Takes up to seconds where there are lenses: not for the threads that take or fuse images.
        """
        registration = Registration(rig)
        for sizes in (self.current().registration.sizes, _own_sizes(rig)):
            try:
                if sizes is not None:
                    registration.prepare(*sizes)
                    break
            except ValueError:  # of images of another shape: there may come others, and if not, each pair says so
                continue
        return registration

    def set_rig(self, rig: Rig, registration: Registration | None = None) -> None:
        """Apply a rig from the next pair on; corrections of the one before are forgotten.

        Args:
            rig: its geometry and its radiometry apply at the same moment.
            registration: of this rig, from ``prepare``; None: prepared here, before anything changes.
        """
        registration = registration or self.prepare(rig)
        with self._lock:
            self._uncorrected = registration
            self._applied = AppliedRig(rig, registration, self._applied.revision + 1)

    def correct(self, revision: int, corrected: Rig, thermal_size: Size, visible_size: Size) -> bool:
        """Apply a correction from the next pair on.

        Args:
            revision: of the applied rig that it corrects.
            corrected: that rig with another geometry.
            thermal_size: (width, height) of the images in use, for which the maps are made here.
            visible_size: the same.

        Returns:
            Whether it applies; not where another rig has been set, or the correction reset, meanwhile.

        Raises:
            ValueError: the sizes do not fit the rig.
        """
        registration = Registration(corrected)
        registration.prepare(thermal_size, visible_size)
        with self._lock:
            if revision != self._applied.revision:
                return False
            self._applied = AppliedRig(self._applied.rig, registration, revision)
            return True

    def reset(self) -> None:
        """Forget the correction: the rig applies as it was set."""
        with self._lock:
            self._applied = AppliedRig(self._applied.rig, self._uncorrected, self._applied.revision + 1)


def _own_sizes(rig: Rig) -> tuple[Size, Size] | None:
    return (rig.thermal_size, rig.visible_size) if rig.thermal_size and rig.visible_size else None
