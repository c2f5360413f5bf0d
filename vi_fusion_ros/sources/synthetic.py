"""A synthetic street, seen by a visible and a thermal camera, by day and by night, with its ground truth.

Persons walk, a car and a bicycle pass, a cold crate stands in between. Every picture is a function of the time and the
seed alone. Backgrounds are painted once; a pair at 640x480 takes a few milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vi_fusion_ros.types import Image

COUNTS_PER_KELVIN = 100.0
"""Thermal counts are 0.01 K each, as FLIR's TLinear high-resolution mode sends them."""

PERIOD_S = 10.0
"""Day and night last this long each."""

_AGC_KELVIN = (266.0, 322.0)  # the span that the 8-bit thermal image shows
_NOISE_TILES = 6
_Y0, _HORIZON = 480.0, 200  # the scene is laid out for 640x480 and scaled from there

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Object:
    """One labelled object.

    Attributes:
        label: person, car or bicycle.
        box: (x, y, width, height) in visible pixels, clipped to the image.
    """

    label: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Truth:
    """What is in the picture at one time.

    Attributes:
        illumination: ``day`` or ``night``.
        objects: those of which at least half is in the picture.
    """

    illumination: str
    objects: tuple[Object, ...]


class SyntheticScene:
    """The street.

    Args:
        width: of both images, pixels.
        height: of both images, pixels.
        seed: of textures and noise.
    """

    def __init__(self, width: int = 640, height: int = 480, seed: int = 0) -> None:
        self._size = width, height
        random = np.random.default_rng(seed)
        day, kelvin = _paint_backgrounds(random)
        night = _at_night(day)
        scale = cv2.resize
        self._visible = {"day": scale(day, self._size), "night": scale(night, self._size)}
        self._thermal = scale((kelvin * COUNTS_PER_KELVIN).astype(np.uint16), self._size)
        noise = random.normal(0, 1, (_NOISE_TILES, height, width)).astype(np.float32)
        self._noise = {
            "day": [_signed(tile * 2) for tile in noise],
            "night": [_signed(tile * 7) for tile in noise],
        }
        self._thermal_noise = [(np.abs(tile) * 8).astype(np.uint16) for tile in noise]  # mean about 0.06 K

    def truth(self, time_s: float) -> Truth:
        """What is there at ``time_s``, seconds from the start."""
        objects = []
        for actor in _actors(time_s):
            x, y, w, h = actor.box
            left, top = max(x, 0.0), max(y, 0.0)
            right, bottom = min(x + w, 640.0), min(y + h, _Y0)
            if actor.label and (right - left) * (bottom - top) >= 0.5 * w * h and right > left:
                sx, sy = self._size[0] / 640, self._size[1] / _Y0
                box = (round(left * sx), round(top * sy), round((right - left) * sx), round((bottom - top) * sy))
                objects.append(Object(actor.label, box))
        return Truth(_illumination(time_s), tuple(objects))

    def visible(self, time_s: float) -> Image:
        """The visible image at ``time_s``: (H, W, 3) uint8 BGR."""
        light = _illumination(time_s)
        image = self._visible[light].copy()
        for actor in _actors(time_s):
            actor.paint(_Canvas(image, self._size, "visible", light))
        brighter, darker = self._noise[light][round(time_s * 97) % _NOISE_TILES]
        return cv2.subtract(cv2.add(image, brighter), darker)

    def thermal(self, time_s: float) -> npt.NDArray[np.uint16]:
        """The thermal image at ``time_s``: (H, W) uint16, 0.01 K a count."""
        image = self._thermal.copy()
        for actor in _actors(time_s):
            actor.paint(_Canvas(image, self._size, "thermal", "day"))
        return cv2.add(image, self._thermal_noise[round(time_s * 89) % _NOISE_TILES])  # type: ignore[return-value]

    def thermal_8_bit(self, time_s: float) -> npt.NDArray[np.uint8]:
        """The thermal image as a camera with a fixed gain sends it: (H, W) uint8 over 266 K to 322 K."""
        low, high = (limit * COUNTS_PER_KELVIN for limit in _AGC_KELVIN)
        above = cv2.subtract(self.thermal(time_s), low)
        return cv2.convertScaleAbs(above, alpha=255.0 / (high - low))  # type: ignore[return-value]


def _illumination(time_s: float) -> str:
    return "day" if int(time_s / PERIOD_S) % 2 == 0 else "night"


class _Canvas:
    """Draws in the scene's own coordinates, in colour or in kelvin."""

    def __init__(self, image: Image, size: tuple[int, int], camera: str, light: str) -> None:
        self._image, self._camera = image, camera
        self._sx, self._sy = size[0] / 640, size[1] / _Y0
        self._dim = 0.16 if light == "night" else 1.0
        self.night = light == "night"

    def ellipse(self, x: float, y: float, w: float, h: float, color: Color, kelvin: float) -> None:
        centre, axes = self._point(x, y), (max(round(w * self._sx / 2), 1), max(round(h * self._sy / 2), 1))
        cv2.ellipse(self._image, centre, axes, 0, 0, 360, self._paint(color, kelvin), -1, cv2.LINE_AA)

    def polygon(self, points: list[tuple[float, float]], color: Color, kelvin: float) -> None:
        corners = np.array([self._point(*point) for point in points], np.int32)
        cv2.fillPoly(self._image, [corners], self._paint(color, kelvin), cv2.LINE_AA)

    def line(self, a: tuple[float, float], b: tuple[float, float], width: float, color: Color, kelvin: float) -> None:
        thickness = max(round(width * self._sx), 1)
        cv2.line(self._image, self._point(*a), self._point(*b), self._paint(color, kelvin), thickness, cv2.LINE_AA)

    def light(self, x: float, y: float, radius: float) -> None:
        """A lamp that shines at night; the thermal camera does not see it."""
        if self.night and self._camera == "visible":
            cv2.circle(
                self._image, self._point(x, y), max(round(radius * self._sx), 1), (225, 245, 255), -1, cv2.LINE_AA
            )

    def _point(self, x: float, y: float) -> tuple[int, int]:
        return round(x * self._sx), round(y * self._sy)

    def _paint(self, color: Color, kelvin: float) -> tuple[float, ...]:
        if self._camera == "thermal":
            return (kelvin * COUNTS_PER_KELVIN,)
        return tuple(channel * self._dim for channel in color)


@dataclass(frozen=True)
class _Person:
    x: float
    foot: float
    height: float
    phase: float
    coat: Color
    trousers: Color
    label: str = "person"

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self.x - 0.2 * self.height, self.foot - self.height, 0.4 * self.height, self.height

    def paint(self, canvas: _Canvas) -> None:
        h, x, foot = self.height, self.x, self.foot
        hip, shoulder, swing = foot - 0.47 * h, foot - 0.80 * h, 0.13 * h * np.sin(self.phase)
        for side in (-1, 1):
            knee = (x + 0.6 * side * swing, foot - 0.24 * h)
            canvas.line((x, hip), knee, 0.11 * h, self.trousers, 301.5)
            canvas.line(knee, (x + side * swing, foot), 0.085 * h, self.trousers, 299.5)
            canvas.ellipse(x + side * swing + 0.02 * h, foot, 0.12 * h, 0.05 * h, (30, 30, 35), 295.0)
            hand = (x - side * 0.8 * swing, foot - 0.46 * h)
            canvas.line((x + 0.05 * side * h, shoulder), hand, 0.075 * h, self.coat, 301.0)
            canvas.ellipse(*hand, 0.06 * h, 0.06 * h, (130, 160, 205), 306.0)
        canvas.polygon(
            [(x - 0.12 * h, shoulder), (x + 0.12 * h, shoulder), (x + 0.10 * h, hip), (x - 0.10 * h, hip)],
            self.coat,
            302.5,
        )
        canvas.line((x, shoulder), (x, foot - 0.86 * h), 0.07 * h, (130, 160, 205), 307.0)
        canvas.ellipse(x, foot - 0.92 * h, 0.125 * h, 0.165 * h, (130, 160, 205), 308.0)
        canvas.ellipse(x, foot - 0.965 * h, 0.125 * h, 0.085 * h, (35, 45, 60), 304.0)


@dataclass(frozen=True)
class _Car:
    x: float
    foot: float
    height: float
    label: str = "car"

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self.x - 1.35 * self.height, self.foot - self.height, 2.7 * self.height, self.height

    def paint(self, canvas: _Canvas) -> None:
        h, x, foot = self.height, self.x, self.foot

        def at(dx: float, dy: float) -> tuple[float, float]:
            return x + dx * h, foot - dy * h

        body, glass = (60, 50, 170), (120, 105, 90)
        canvas.ellipse(x, foot - 0.03 * h, 2.8 * h, 0.16 * h, (45, 45, 48), 296.0)  # shadow, warmed by the engine
        canvas.polygon([at(-0.75, 0.58), at(-0.45, 0.98), at(0.40, 0.98), at(0.78, 0.58)], body, 292.0)
        canvas.polygon([at(-0.62, 0.60), at(-0.39, 0.91), at(-0.05, 0.91), at(-0.05, 0.60)], glass, 287.0)
        canvas.polygon([at(0.02, 0.60), at(0.02, 0.91), at(0.35, 0.91), at(0.62, 0.60)], glass, 287.0)
        canvas.polygon(
            [at(-1.32, 0.20), at(-1.28, 0.55), at(-0.75, 0.62), at(0.80, 0.62), at(1.25, 0.50), at(1.33, 0.18)],
            body,
            293.0,
        )
        canvas.polygon([at(0.72, 0.22), at(0.76, 0.58), at(1.20, 0.48), at(1.28, 0.22)], body, 311.0)  # bonnet
        for side in (-0.78, 0.80):
            canvas.ellipse(*at(side, 0.20), 0.46 * h, 0.46 * h, (28, 28, 30), 308.0)
            canvas.ellipse(*at(side, 0.20), 0.24 * h, 0.24 * h, (150, 150, 150), 301.0)
        canvas.ellipse(*at(-1.30, 0.12), 0.10 * h, 0.07 * h, (40, 40, 40), 330.0)  # exhaust
        canvas.light(*at(1.28, 0.38), 0.10 * h)


@dataclass(frozen=True)
class _Bicycle:
    x: float
    foot: float
    height: float
    phase: float
    label: str = "bicycle"

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self.x - 0.5 * self.height, self.foot - 0.62 * self.height, self.height, 0.62 * self.height

    def paint(self, canvas: _Canvas) -> None:
        h, x, foot = self.height, self.x, self.foot
        radius, frame = 0.19 * h, (45, 120, 45)
        back, front = (x - 0.29 * h, foot - radius), (x + 0.29 * h, foot - radius)
        for cx, cy in (back, front):
            for n in range(20):
                angles = 2 * np.pi * n / 20, 2 * np.pi * (n + 1) / 20
                start, end = ((cx + radius * np.cos(angle), cy + radius * np.sin(angle)) for angle in angles)
                canvas.line(start, end, 0.03 * h, (25, 25, 25), 294.0)
        saddle, bar, crank = (x - 0.12 * h, foot - 0.48 * h), (x + 0.22 * h, foot - 0.52 * h), (x, foot - 0.17 * h)
        for a, b in ((back, saddle), (back, crank), (saddle, crank), (crank, bar), (saddle, bar), (bar, front)):
            canvas.line(a, b, 0.03 * h, frame, 290.0)
        hip, shoulder = (x - 0.12 * h, foot - 0.55 * h), (x + 0.08 * h, foot - 0.83 * h)
        for side in (0.0, np.pi):
            pedal = (x + 0.08 * h * np.cos(self.phase + side), foot - 0.17 * h + 0.08 * h * np.sin(self.phase + side))
            knee = (x + 0.10 * h, (hip[1] + pedal[1]) / 2 - 0.03 * h)
            canvas.line(hip, knee, 0.085 * h, (110, 70, 45), 302.0)
            canvas.line(knee, pedal, 0.065 * h, (110, 70, 45), 300.0)
        canvas.line(hip, shoulder, 0.15 * h, (50, 150, 220), 303.0)
        canvas.line(shoulder, bar, 0.055 * h, (50, 150, 220), 302.0)
        canvas.ellipse(shoulder[0] + 0.06 * h, shoulder[1] - 0.10 * h, 0.12 * h, 0.15 * h, (130, 160, 205), 308.0)
        canvas.light(bar[0], bar[1], 0.03 * h)

    def rider(self) -> Rider:
        """The person on it, who counts as a person too."""
        return Rider(self.x, self.foot, self.height)


@dataclass(frozen=True)
class Rider:
    """The labelled person on a bicycle; painted with it."""

    x: float
    foot: float
    height: float
    label: str = "person"

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x, y, width, height) in scene coordinates."""
        return self.x - 0.22 * self.height, self.foot - self.height, 0.45 * self.height, 0.9 * self.height

    def paint(self, canvas: _Canvas) -> None:
        """Nothing: the bicycle has painted its rider."""


@dataclass(frozen=True)
class _Crate:
    """A crate of ice: cold, and nothing that a label is for."""

    x: float
    foot: float
    height: float
    label: str = ""

    @property
    def box(self) -> tuple[float, float, float, float]:
        return self.x - 0.6 * self.height, self.foot - self.height, 1.2 * self.height, self.height

    def paint(self, canvas: _Canvas) -> None:
        x, y, w, h = self.box
        canvas.polygon([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], (205, 195, 180), 271.0)
        for n in range(1, 4):
            canvas.line((x, y + n * h / 4), (x + w, y + n * h / 4), 1.5, (160, 150, 135), 273.5)


_Actor = _Person | _Car | _Bicycle | Rider | _Crate


def _actors(time_s: float) -> list[_Actor]:
    """Who is where, the farthest first."""

    def across(speed: float, start: float, span: float = 900.0) -> float:
        return (start + speed * time_s) % span - (span - 640) / 2

    bicycle = _Bicycle(640 - across(85, 500, 1100), 395, 130, time_s * 6)
    actors: list[_Actor] = [
        _Person(across(26, 250), 292, 62, time_s * 6, (70, 60, 160), (60, 50, 45)),
        _Person(640 - across(22, 560), 300, 70, time_s * 5.5, (60, 130, 70), (40, 40, 60)),
        _Car(across(120, 80, 1300), 340, 82),
        _Crate(520, 372, 46),
        bicycle,
        bicycle.rider(),
        _Person(across(48, 420), 452, 172, time_s * 5, (150, 105, 40), (70, 60, 55)),
    ]
    return actors


def _paint_backgrounds(random: np.random.Generator) -> tuple[Image, Image]:
    """The empty street by day, (480, 640, 3) uint8 BGR, and its temperatures, (480, 640) float32 kelvin."""
    color = np.zeros((480, 640, 3), np.float32)
    kelvin = np.zeros((480, 640), np.float32)
    rows = np.linspace(0, 1, 480, dtype=np.float32)[:, None]
    color[:] = np.stack([235 - 40 * rows, 200 - 10 * rows, 160 + 40 * rows], axis=-1)
    kelvin[:] = 264 + 12 * rows
    cloud = cv2.GaussianBlur(random.normal(0, 1, (480, 640)).astype(np.float32), (0, 0), 28)
    cloud = np.clip(cloud / np.abs(cloud).max() * 2.2, 0, 1)[..., None]
    color += cloud * (245 - color)
    kelvin += 5 * cloud[..., 0]

    def rectangle(x: int, y: int, w: int, h: int, bgr: Color, temperature: float) -> None:
        color[y : y + h, x : x + w] = bgr
        kelvin[y : y + h, x : x + w] = temperature

    hill = (165 + 16 * np.sin(np.arange(640) / 70) + 9 * np.sin(np.arange(640) / 23)).astype(int)
    for x in range(640):
        color[hill[x] : 250, x] = (70, 105, 75)
        kelvin[hill[x] : 250, x] = 284.5
    for x, y, w, bgr in (
        (0, 70, 130, (120, 140, 165)),
        (150, 105, 95, (150, 150, 150)),
        (470, 55, 170, (105, 120, 150)),
    ):
        rectangle(x, y, w, 200, bgr, 288.0)
        for wy in range(y + 14, 235, 30):
            for wx in range(x + 12, x + w - 16, 28):
                rectangle(wx, wy, 14, 17, (140, 115, 95), 290.5 + float(random.random() < 0.3) * 4)
    for x in (285, 330, 372, 425):
        for _ in range(45):
            cx, cy = x + random.normal(0, 15), 178 + random.normal(0, 20)
            shade = random.uniform(0.7, 1.2)
            cv2.circle(color, (round(cx), round(cy)), 9, (45 * shade, 105 * shade, 60 * shade), -1)
            cv2.circle(kelvin, (round(cx), round(cy)), 9, 285.5 + float(random.normal(0, 0.4)), -1)
        rectangle(x - 3, 205, 6, 50, (45, 65, 85), 287.0)
    rectangle(0, 250, 640, 50, (150, 155, 160), 291.0)  # far pavement
    rectangle(0, 300, 640, 118, (88, 88, 90), 294.0)  # road
    rectangle(0, 298, 640, 4, (190, 190, 190), 292.0)
    rectangle(0, 416, 640, 5, (190, 190, 190), 292.0)
    rectangle(0, 421, 640, 59, (140, 146, 152), 291.5)  # near pavement
    for x in range(10, 640, 90):
        rectangle(x, 355, 45, 5, (215, 220, 220), 293.0)
    for x in (60, 610):
        rectangle(x, 90, 5, 215, (75, 75, 75), 287.5)
        rectangle(x - 12, 86, 28, 7, (90, 90, 90), 289.0)
    grain = cv2.GaussianBlur(random.normal(0, 1, (480, 640)).astype(np.float32), (0, 0), 1.2)
    color += (grain * 9)[..., None]
    kelvin += cv2.GaussianBlur(grain, (0, 0), 2) * 1.5
    return np.clip(cv2.GaussianBlur(color, (0, 0), 0.6), 0, 255).astype(np.uint8), cv2.GaussianBlur(kelvin, (0, 0), 0.8)


def _at_night(day: Image) -> Image:
    """The same street by the light of a few windows and lamps."""
    dark = day.astype(np.float32) * (0.13, 0.11, 0.10)
    dark[:_HORIZON] *= 0.6
    glow = np.zeros((480, 640), np.float32)
    for x in (62, 612):
        cv2.circle(glow, (x, 92), 5, 6.0, -1)
        cv2.ellipse(glow, (x, 430), (95, 30), 0, 0, 360, 0.5, -1)
    for x, y in ((54, 114), (82, 174), (190, 149), (510, 99), (538, 159), (594, 69)):
        glow[y : y + 17, x : x + 14] = 0.9
    glow = cv2.GaussianBlur(glow, (0, 0), 3) + 0.7 * cv2.GaussianBlur(glow, (0, 0), 22)
    return np.clip(dark + glow[..., None] * (110, 180, 225), 0, 255).astype(np.uint8)


def _signed(noise: Image) -> tuple[Image, Image]:
    """What to add and what to subtract, (H, W, 3) uint8 each, for noise of both signs."""
    return tuple(cv2.cvtColor(np.clip(part, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR) for part in (noise, -noise))  # type: ignore[return-value]
