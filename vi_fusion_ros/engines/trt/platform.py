"""Whether TensorRT can run here, and on what: the other half of every check of an engine."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass

from vi_fusion_ros.engines.trt import cuda

OLDEST = (8, 6)


class TensorRTUnavailableError(ValueError):
    """TensorRT cannot run here; one sentence that says what is missing."""


@dataclass(frozen=True)
class Platform:
    """What engines are built for and run on.

    Attributes:
        tensorrt: version of the library, for example ``10.3.0``.
        cuda: version of the CUDA runtime.
        gpu: name of the GPU.
        compute_capability: of the GPU, for example ``8.7``.
    """

    tensorrt: str
    cuda: str
    gpu: str
    compute_capability: str

    def __str__(self) -> str:
        return f"TensorRT {self.tensorrt}, CUDA {self.cuda}, {self.gpu} (compute capability {self.compute_capability})"


def tensorrt_version() -> str:
    """Version of the TensorRT that is installed. Loads its libraries, which takes a second or more.

    Raises:
        TensorRTUnavailableError: it is missing, broken or too old.
    """
    if importlib.util.find_spec("tensorrt") is None:
        raise TensorRTUnavailableError("the Python package tensorrt is not installed (docs/gpu.md)")
    try:
        version = str(importlib.import_module("tensorrt").__version__)
    except Exception as error:  # its loader raises whatever the missing library makes it raise
        raise TensorRTUnavailableError(f"the Python package tensorrt cannot be loaded: {error}") from error
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise TensorRTUnavailableError(
            f"TensorRT {version} is too old; expected {'.'.join(map(str, OLDEST))} or later (docs/gpu.md)"
        )
    return version


def probe() -> Platform:
    """What TensorRT has here. The cheap questions come first: without a GPU its libraries are not loaded.

    Raises:
        TensorRTUnavailableError: no TensorRT, no CUDA or no GPU.
    """
    if importlib.util.find_spec("tensorrt") is None:
        raise TensorRTUnavailableError("the Python package tensorrt is not installed (docs/gpu.md)")
    try:
        runtime = cuda.load()
        gpu, capability, version = runtime.device_name(), runtime.compute_capability(), runtime.version
    except cuda.CudaError as error:
        raise TensorRTUnavailableError(f"no GPU can be used: {error}") from error
    return Platform(tensorrt_version(), version, gpu, capability)
