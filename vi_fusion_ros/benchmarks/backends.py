"""What a model can be run with, each as one call that takes a pair from and to host memory."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vi_fusion_ros.engines.engine import INPUTS, Engine
from vi_fusion_ros.engines.manifest import Manifest

Size = tuple[int, int]
Call = Callable[[], Any]


class BackendMissingError(ValueError):
    """A backend cannot run here; one sentence that says what is missing."""


@dataclass(frozen=True)
class Case:
    """One thing to time.

    Attributes:
        backend: a name of ``BACKENDS``.
        model: ONNX file with the package's interface.
        size: width and height of the images, pixels, without the padding that the model wants.
        threads: CPU threads.
        precision: of TensorRT engines.
        engines: folder of TensorRT engines.
        graph: whether TensorRT records a CUDA graph.
    """

    backend: str
    model: Path
    size: Size = (640, 480)
    threads: int = 2
    precision: str = "fp16"
    engines: Path | None = None
    graph: bool = True


@dataclass(frozen=True)
class Ready:
    """A case, loaded.

    Attributes:
        call: one inference, from pixels in host memory to outputs in host memory.
        description: backend, version and device.
    """

    call: Call
    description: str


def frames(size: Size) -> dict[str, npt.NDArray[np.float32]]:
    """Random pixels, float32, 0 to 1, the same in every run."""
    rng = np.random.default_rng(0)
    return {name: rng.random((1, planes, size[1], size[0]), np.float32) for name, planes in INPUTS.items()}


def load(case: Case) -> Ready:
    """Make a case ready to be timed.

    Raises:
        BackendMissingError: the backend cannot run here.
        ValueError: the model cannot be run; one sentence.
    """
    model = Manifest.load(case.model.with_suffix(".json"))
    return BACKENDS[case.backend](replace(case, size=model.padded(case.size)))


def _onnxruntime(case: Case) -> Ready:
    from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine

    return _engine(OnnxRuntimeEngine(case.model, case.threads), case.size)


def _onnxruntime_cuda(case: Case) -> Ready:
    from vi_fusion_ros.engines.onnx_engine import CUDA, OnnxRuntimeEngine, cuda_is_installed

    if not cuda_is_installed():
        raise BackendMissingError("the installed ONNX Runtime has no CUDA provider (package onnxruntime-gpu)")
    engine = OnnxRuntimeEngine(case.model, case.threads, cuda=True)
    if engine.provider != CUDA:
        raise BackendMissingError("the CUDA provider of ONNX Runtime does not start on this machine")
    return _engine(engine, case.size)


def _tensorrt(case: Case) -> Ready:
    from vi_fusion_ros.engines import engine_cache
    from vi_fusion_ros.engines.compile.compiling import target_for
    from vi_fusion_ros.engines.trt.platform import TensorRTUnavailableError, probe

    try:
        platform = probe()
    except TensorRTUnavailableError as error:
        raise BackendMissingError(str(error)) from error
    folder = case.engines or engine_cache.default_folder()
    model = Manifest.load(case.model.with_suffix(".json"))
    target = target_for(case.model, model, case.size, case.precision, platform)
    found = engine_cache.find(folder, target)
    if found.path is None:
        raise BackendMissingError(f"{found.reason}; build it: {target.command(folder)}")
    from vi_fusion_ros.engines.trt.runtime import TensorRTEngine

    return _engine(TensorRTEngine(*engine_cache.read(found.path), graph=case.graph), case.size)


def _engine(engine: Engine, size: Size) -> Ready:
    buffers = engine.buffers(size[1], size[0])
    for buffer, pixels in zip(buffers, frames(size).values(), strict=True):
        buffer[...] = pixels if buffer.dtype == np.float32 else np.rint(pixels * 255)
    return Ready(lambda: engine.infer(*buffers), engine.description)


def _torch(case: Case) -> Ready:
    return _torch_on(case, "cpu")


def _torch_cuda(case: Case) -> Ready:
    return _torch_on(case, "cuda")


def _torch_on(case: Case, device: str) -> Ready:
    """Torch without a compiler, the network folded as it is exported."""
    if importlib.util.find_spec("torch") is None:
        raise BackendMissingError("PyTorch is not installed (scripts/setup --train)")
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise BackendMissingError("PyTorch finds no GPU")
    network = _network(case.model).to(device).eval()
    if device == "cpu":
        torch.set_num_threads(case.threads)
    pixels = {name: torch.from_numpy(array) for name, array in frames(case.size).items()}
    if device == "cuda":
        # As TensorRT gets them: bytes in pinned memory, scaled on the device.
        pixels = {name: (array * 255).round().to(torch.uint8).pin_memory() for name, array in pixels.items()}

    @torch.inference_mode()
    def call() -> Any:
        inputs = [pixels[name].to(device, non_blocking=True) for name in INPUTS]
        if device == "cuda":
            inputs = [tensor.float() / 255 for tensor in inputs]
        fused, attention, *others = network(*inputs)
        if device == "cuda":
            fused, attention = ((image * 255).round().to(torch.uint8) for image in (fused, attention))
        return [tensor.cpu() for tensor in (fused, attention, *others)]

    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {case.threads} threads"
    return Ready(call, f"torch {torch.__version__} eager fp32, {name}")


def _network(model: Path) -> Any:
    """The network of the model's sizes. Its weights are random: they do not change what it costs."""
    from vi_fusion_ros.model.network import FusionNet, NetworkConfig

    training = Manifest.load(model.with_suffix(".json")).training
    sizes = training.get("config", {}).get("network") if isinstance(training, dict) else None
    if not isinstance(sizes, dict):
        raise BackendMissingError(f"the manifest of {model} does not say the network's sizes (training.config.network)")
    return FusionNet(NetworkConfig(**sizes)).folded()


def _openvino(case: Case) -> Ready:
    if importlib.util.find_spec("openvino") is None:
        raise BackendMissingError("the package openvino is not installed (docs/gpu.md)")
    from vi_fusion_ros.engines.openvino_engine import OpenVinoEngine

    return _engine(OpenVinoEngine(case.model, case.threads), case.size)


BACKENDS: dict[str, Callable[[Case], Ready]] = {
    "onnxruntime": _onnxruntime,
    "onnxruntime-cuda": _onnxruntime_cuda,
    "tensorrt": _tensorrt,
    "torch": _torch,
    "torch-cuda": _torch_cuda,
    "openvino": _openvino,
}
"""How each backend is loaded, by its name."""
