"""The parsers under test, in a process of their own: a crash, a hang or a memory blow-up of theirs is seen, not shared.

``python parsers.py NAME FOLDER`` reads inputs from stdin (four bytes of length, then the data) and answers each with a
line of JSON: the outcome, and the most memory that the process has had so far, in MB.
"""

from __future__ import annotations

import array
import json
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

VISIBLE, THERMAL = "/visible/image", "/thermal/image"


# Answers keep the pipe to themselves: native libraries print what they like to the standard output.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def main() -> None:
    parse = PARSERS[sys.argv[1]](Path(sys.argv[2]))
    answer("ready")
    while header := sys.stdin.buffer.read(4):
        data = sys.stdin.buffer.read(struct.unpack("<I", header)[0])
        try:
            parse(data)
            outcome = "taken"
        except ValueError as error:
            sentence = str(error)
            outcome = "refused" if sentence and "\n" not in sentence else f"not one sentence: {sentence!r}"
        except BaseException as error:
            import traceback

            outcome = f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-6)}"
        answer(outcome)


def answer(outcome: str) -> None:
    ANSWERS.write(json.dumps([outcome, peak_mb()]) + "\n")
    ANSWERS.flush()


def peak_mb() -> float:
    """Most resident memory so far. getrusage would begin with that of the process which started this one."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def image(_folder: Path) -> Callable[[bytes], object]:
    """Input: six numbers and an encoding, by ``pack_image``, then the pixels."""
    from vi_fusion_ros.images.encodings import decode_image

    def parse(data: bytes) -> object:
        if len(data) < 28:
            raise ValueError("too short to be a case")
        height, width, step, big = struct.unpack_from("<IIIB", data)
        encoding = data[13:28].rstrip(b"\0").decode("latin-1")
        pixels = array.array("B", data[28:])
        message = SimpleNamespace(
            height=height, width=width, step=step, is_bigendian=big, encoding=encoding, data=pixels
        )
        return decode_image(message)

    return parse


def pack_image(height: int, width: int, step: int, big: int, encoding: str, pixels: bytes) -> bytes:
    return struct.pack("<IIIB15s", height, width, step, big, encoding.encode()) + pixels


def compressed(_folder: Path) -> Callable[[bytes], object]:
    from vi_fusion_ros.images.compressed import decode_compressed

    return lambda data: decode_compressed(SimpleNamespace(format="", data=array.array("B", data)))


def depth(_folder: Path) -> Callable[[bytes], object]:
    """The transport compressedDepth; the first byte says of what encoding and codec."""
    from vi_fusion_ros.images.compressed import decode_compressed

    formats = [f"{encoding}; compressedDepth {codec}" for encoding in ("16UC1", "32FC1") for codec in ("rvl", "png")]
    return lambda data: decode_compressed(
        SimpleNamespace(format=formats[data[0] % len(formats)] if data else "", data=array.array("B", data[1:]))
    )


def zstd(_folder: Path) -> Callable[[bytes], object]:
    """The transport zstd."""
    from vi_fusion_ros.images.compressed import decode_compressed

    return lambda data: decode_compressed(SimpleNamespace(format="zstd", data=array.array("B", data)))


def wire(_folder: Path) -> Callable[[bytes], object]:
    """A serialised image, as the node takes it from the middleware."""
    from vi_fusion_ros.node.subscriptions import codec_of, stamped_image

    return lambda data: stamped_image("visible", data, codec_of("raw"), 0).decode()


def compressed_wire(_folder: Path) -> Callable[[bytes], object]:
    from vi_fusion_ros.node.subscriptions import codec_of, stamped_image

    return lambda data: stamped_image("visible", data, codec_of("compressed"), 0).decode()


def rig(folder: Path) -> Callable[[bytes], object]:
    from vi_fusion_ros.registration.rig import Rig

    def parse(data: bytes) -> object:
        path = folder / "rig.yaml"
        path.write_bytes(data)
        rig = Rig.load(path)
        return rig.homography(rig.thermal_size or (64, 48), rig.visible_size or (128, 96))

    return parse


def manifest(folder: Path) -> Callable[[bytes], object]:
    from vi_fusion_ros.engines.manifest import Manifest

    def parse(data: bytes) -> object:
        path = folder / "model.json"
        path.write_bytes(data)
        return Manifest.load(path).multiple

    return parse


def onnx(folder: Path) -> Callable[[bytes], object]:
    """ONNX Runtime alone, which some damage does end."""
    from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine

    return _model(folder, OnnxRuntimeEngine)


def guarded_onnx(folder: Path) -> Callable[[bytes], object]:
    """A model as everybody loads it: tried in a process of its own first."""
    from vi_fusion_ros.engines.load import load_engine

    return _model(folder, load_engine)


def _model(folder: Path, load: Callable[[Path, int], object]) -> Callable[[bytes], object]:
    """Input: a model. Its manifest is made to fit it, so that the damage reaches the engine."""
    from tiny_model import write_model

    from vi_fusion_ros.engines.manifest import sha256

    path = write_model(folder / "model.onnx")
    content = json.loads(path.with_suffix(".json").read_text())

    def parse(data: bytes) -> object:
        path.write_bytes(data)
        path.with_suffix(".json").write_text(json.dumps({**content, "onnx_sha256": sha256(path)}))
        return load(path, 1)

    return parse


def _bag(folder: Path, name: str) -> Callable[[bytes], object]:
    from vi_fusion_ros.bags.replay import Replay
    from vi_fusion_ros.bags.source import open_bag
    from vi_fusion_ros.image_codecs import image_codecs

    def parse(data: bytes) -> object:
        path = folder / name
        path.write_bytes(data)
        source = open_bag(path)
        try:
            return sum(1 for _ in Replay(source, VISIBLE, THERMAL, image_codecs()).pairs())
        finally:
            source.close()

    return parse


PARSERS: dict[str, Callable[[Path], Callable[[bytes], object]]] = {
    "image": image,
    "compressed": compressed,
    "depth": depth,
    "zstd": zstd,
    "wire": wire,
    "compressed_wire": compressed_wire,
    "rig": rig,
    "manifest": manifest,
    "onnx": onnx,
    "guarded_onnx": guarded_onnx,
    "mcap": lambda folder: _bag(folder, "bag.mcap"),
    "sqlite": lambda folder: _bag(folder, "bag.db3"),
}

if __name__ == "__main__":
    main()
