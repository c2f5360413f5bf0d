"""``vi-fusion benchmark bag``: how fast bags are evaluated, beside the bare pipeline on the same frames.

The bare pipeline has the messages of the pairs in memory, decodes both images of a pair and fuses them, one pair after
the other, and does nothing else. The evaluation reads the bag from disk, deserialises and checks every
message, pairs, decodes, fuses and gathers the statistics. Fusion metrics come after that and are counted in neither;
``fusion_metrics_s`` says how long they take. Both run in turn, several times; the ratio is that of each turn's two.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from vi_fusion_ros.benchmarks.machine import processor

THERMAL_RATES_HZ = (None, 9.0)
"""None: the video's own."""

FORMS = ("raw", "jpeg", "png")
"""Raw messages; visible images as JPEG; as PNG. Thermal images have 16 bit, and are PNG in both compressed forms."""

_TOPICS = ("/visible/image", "/thermal/image")
_START_NS = 1_700_000_000_000_000_000
_THERMAL_DELAY_NS = 3_000_000
_LOG_DELAY_NS = 5_000_000


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-command's arguments."""
    parser = subparsers.add_parser("bag", help="throughput of 'evaluate bag' against the bare pipeline's")
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR", help="{clip}_{visible,thermal}.mp4")
    parser.add_argument("--frames", type=int, default=300, help="of each clip (default 300)")
    parser.add_argument("--repeats", type=int, default=5, help="turns of the two (default 5)")
    parser.add_argument("--threads", type=int, default=2, help="threads of ONNX Runtime (default 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result to FILE")
    parser.set_defaults(benchmark=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    if min(args.frames, args.repeats, args.threads) < 1:
        raise ValueError("--frames, --repeats and --threads must be at least 1")
    clips = sorted(path.stem.removesuffix("_visible") for path in args.videos.glob("*_visible.mp4"))
    if not clips:
        raise ValueError(f"{args.videos}: no {{clip}}_visible.mp4 in it; expected pairs of videos")
    cases = []
    for clip in clips:
        for rate_hz in THERMAL_RATES_HZ:
            for form in FORMS:
                case = _case(args, clip, rate_hz, form)
                cases.append(case)
                print("{clip}, {visible_hz} and {thermal_hz} Hz, {form}: {pairs} pairs, ratio {ratio}".format(**case))
    result = {
        "command": f"vi-fusion benchmark bag --frames {args.frames} --repeats {args.repeats} --threads {args.threads}",
        "machine": processor(),
        "cpu_count": os.cpu_count(),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "smallest_ratio": min(case["ratio"] for case in cases),
        "cases": cases,
    }
    print(f"smallest ratio {result['smallest_ratio']}")
    if args.json:
        from vi_fusion_ros.evaluation.output import write_json

        write_json(args.json, result)
    else:
        json.dump(result, sys.stdout, indent=1)
    return 0


def _case(args: argparse.Namespace, clip: str, thermal_hz: float | None, form: str) -> dict[str, Any]:
    """One clip in one form: bare pipeline and evaluation in turn."""
    from vi_fusion_ros.evaluation.streams.stream_evaluation import fusion_of
    from vi_fusion_ros.resources import default_model

    with tempfile.TemporaryDirectory() as scratch:
        bag = Path(scratch) / "bag.mcap"
        rates = _write_bag(bag, args.videos, clip, thermal_hz, form, args.frames)
        runs = _Runs(bag, default_model(), args.threads)
        runs.bare()  # warms up
        turns = []
        for _ in range(args.repeats):
            bare = runs.bare()
            evaluation, pair_stream = runs.evaluated()
            turns.append((bare, len(evaluation.stamps_ns) / evaluation.wall_s))
    _check_every_pair_once(pair_stream, len(evaluation.stamps_ns), len(runs.pairs))
    start = time.perf_counter()
    fusion_of(evaluation, os.cpu_count() or 1)
    metrics_s = time.perf_counter() - start
    bare_hz, evaluated_hz = np.median(turns, axis=0).tolist()
    return {
        "clip": clip,
        "visible_hz": rates[0],
        "thermal_hz": rates[1],
        "thermal_bits": 16,
        "form": form,
        "received": sum(pair_stream.received.values()),
        "pairs": len(evaluation.stamps_ns),
        "dropped": sum(pair_stream.pairing.drops.values()),
        "bare_pairs_per_s": round(bare_hz, 2),
        "evaluated_pairs_per_s": round(evaluated_hz, 2),
        "ratio": round(float(np.median([evaluated / bare for bare, evaluated in turns])), 3),
        "ratios": [round(evaluated / bare, 3) for bare, evaluated in turns],
        "fusion_metrics_s": round(metrics_s, 2),
    }


class _Runs:
    """The two ways over one bag, on one engine."""

    def __init__(self, bag: Path, model: Path, threads: int) -> None:
        from vi_fusion_ros.bags.source import open_bag
        from vi_fusion_ros.engines.load import load_engine
        from vi_fusion_ros.pipeline import build_pipeline

        self._bag, self._engine = bag, load_engine(model, threads)
        self._pipeline = build_pipeline(self._engine)
        with closing(open_bag(bag)) as source:
            self.pairs = list(self._replay(source).message_pairs())

    def bare(self) -> float:
        """Pairs a second of decoding and fusing alone."""
        from vi_fusion_ros.sync.pair_stream import DecodedPair, decoded

        self._pipeline.reset()
        start = time.perf_counter()
        for messages in self.pairs:
            images = decoded(messages)
            assert isinstance(images, DecodedPair)
            self._pipeline.process(images.pair)
        return len(self.pairs) / (time.perf_counter() - start)

    def evaluated(self) -> tuple[Any, Any]:
        """The evaluation and the account of a run as ``evaluate bag`` makes it."""
        from vi_fusion_ros.bags.source import open_bag
        from vi_fusion_ros.evaluation.streams.bag_evaluation import evaluate_bag
        from vi_fusion_ros.evaluation.streams.stream_evaluation import StreamEvaluator

        with closing(open_bag(self._bag)) as source:
            replay = self._replay(source)
            evaluator = StreamEvaluator(self._pipeline, self._engine.manifest.labels, False)
            return evaluate_bag(source, replay, evaluator, None), replay.pair_stream

    def _replay(self, source: Any) -> Any:
        from vi_fusion_ros.bags.replay import Replay
        from vi_fusion_ros.image_codecs import image_codecs

        return Replay(source, *_TOPICS, image_codecs())


def _check_every_pair_once(pair_stream: Any, evaluated: int, expected: int) -> None:
    received, drops = sum(pair_stream.received.values()), sum(pair_stream.pairing.drops.values())
    if (
        not evaluated == expected == pair_stream.pairing.pairs
        or received != 2 * evaluated + drops
        or pair_stream.invalid
    ):
        raise ValueError(f"{received} images gave {evaluated} pairs and {drops} drops: not every pair once")


def _write_bag(
    path: Path, videos: Path, clip: str, thermal_hz: float | None, form: str, frames: int
) -> tuple[float, float]:
    """Write a clip as a bag, thermal images as counts of 16 bit; the rates of its cameras, Hz."""
    from vi_fusion_ros.bags.message_types import typestore
    from vi_fusion_ros.bags.writer import BagWriter
    from vi_fusion_ros.sources.video import Video

    clips = [Video(videos / f"{clip}_{camera}.mp4") for camera in ("visible", "thermal")]
    rate_hz = clips[0].rate_hz
    kind = "sensor_msgs/msg/Image" if form == "raw" else "sensor_msgs/msg/CompressedImage"
    with BagWriter(path, compressed=False) as bag:
        for number, visible, thermal in _moments(clips[0], clips[1], frames):
            shots = [(_TOPICS[0], _START_NS + round(visible.time_s * 1e9), visible.image)]
            if thermal_hz is None or int((number + 1) * thermal_hz / rate_hz) > int(number * thermal_hz / rate_hz):
                counts = thermal.image[..., 0].astype(np.uint16) * np.uint16(40) + np.uint16(27000)
                shots.append((_TOPICS[1], _START_NS + round(thermal.time_s * 1e9) + _THERMAL_DELAY_NS, counts))
            for topic, stamp, image in shots:
                data = typestore().serialize_cdr(_message(kind, form, image, stamp), kind)
                bag.write(topic, kind, stamp + _LOG_DELAY_NS, bytes(data))
    return round(rate_hz, 2), thermal_hz or round(rate_hz, 2)


def _moments(visible: Any, thermal: Any, frames: int) -> Iterator[tuple[int, Any, Any]]:
    for number, (left, right) in enumerate(zip(visible, thermal, strict=False)):
        if number == frames:
            return
        yield number, left, right


def _message(kind: str, form: str, image: Any, stamp_ns: int) -> Any:
    """A message with the fields of the ROS type, written by the codec that the nodes use."""
    import cv2

    from vi_fusion_ros.bags.message_types import typestore
    from vi_fusion_ros.images.compressed import fill_compressed
    from vi_fusion_ros.images.encodings import fill_image

    types = typestore().types
    stamp = types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 1_000_000_000))
    header = types["std_msgs/msg/Header"](stamp, "camera_optical_frame")
    if form == "png" and image.dtype == np.uint8:
        data = cv2.imencode(".png", image)[1].reshape(-1)
        return types[kind](header, "bgr8; png compressed bgr8", data)
    fields = (fill_image if form == "raw" else fill_compressed)(SimpleNamespace(), image)
    fields.data = np.frombuffer(fields.data, np.uint8)
    return types[kind](header=header, **vars(fields))
