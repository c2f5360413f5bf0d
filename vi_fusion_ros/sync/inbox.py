"""Images on their way from the thread that takes them to the one that pairs them."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

from vi_fusion_ros.sync.health import Route
from vi_fusion_ros.sync.stamped_image import StampedImage
from vi_fusion_ros.types import CAMERAS, Camera


class Arrival(NamedTuple):
    """An image and what to do with it."""

    image: StampedImage
    route: Route


class Inbox:
    """Thread-safe and bounded: while nobody empties it, the oldest images of each camera give way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrivals: dict[Camera, deque[Arrival]] = {camera: deque() for camera in CAMERAS}

    def put(self, arrival: Arrival, most: int) -> int:
        """Add an image; return how many of its camera gave way so that at most ``most`` wait."""
        waiting = self._arrivals[arrival.image.camera]
        with self._lock:
            waiting.append(arrival)
            gone = max(0, len(waiting) - most)
            for _ in range(gone):
                waiting.popleft()
            return gone

    def take(self) -> list[Arrival]:
        """Empty it; the images of both cameras in the order of their arrival."""
        with self._lock:
            arrivals = [arrival for waiting in self._arrivals.values() for arrival in waiting]
            for waiting in self._arrivals.values():
                waiting.clear()
        return sorted(arrivals, key=lambda arrival: arrival.image.arrival_ns)

    def __len__(self) -> int:
        """Images that wait, both cameras together."""
        with self._lock:
            return sum(map(len, self._arrivals.values()))
