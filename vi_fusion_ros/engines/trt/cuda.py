"""The CUDA runtime, as far as an engine needs it, by ctypes: no package that has to match the installed CUDA.

TensorRT brings the library with it (its wheels depend on it, JetPack installs it). The functions used here have had the
same C signatures since CUDA 11.4: https://docs.nvidia.com/cuda/cuda-runtime-api/.
"""

from __future__ import annotations

import ctypes
import importlib.util
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Pointer = c_void_p

_DRIVER = "libcuda.so.1"
_NAMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so")
_WHEEL_FOLDERS = ("cuda_runtime/lib", "cu13/lib")  # of nvidia-cuda-runtime-cu12 and of nvidia-cuda-runtime

_HOST_TO_DEVICE, _DEVICE_TO_HOST = 1, 2  # cudaMemcpyKind
_NON_BLOCKING = 1  # cudaStreamNonBlocking
_CAPTURE_THREAD_LOCAL = 1  # cudaStreamCaptureModeThreadLocal: other threads may go on allocating
_MAJOR, _MINOR = 75, 76  # cudaDevAttrComputeCapabilityMajor, ...Minor
_PROPERTIES_BYTES = 8192  # cudaDeviceProp has about 1000 bytes and grows; its first 256 are the name
_NAME_BYTES = 256

_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cudaGetDeviceCount": (POINTER(c_int),),
    "cudaRuntimeGetVersion": (POINTER(c_int),),
    "cudaDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cudaGetDeviceProperties": (c_void_p, c_int),
    "cudaMemGetInfo": (POINTER(c_size_t), POINTER(c_size_t)),
    "cudaMalloc": (POINTER(c_void_p), c_size_t),
    "cudaFree": (c_void_p,),
    "cudaHostAlloc": (POINTER(c_void_p), c_size_t, c_uint),
    "cudaFreeHost": (c_void_p,),
    "cudaMemcpyAsync": (c_void_p, c_void_p, c_size_t, c_int, c_void_p),
    "cudaStreamCreateWithFlags": (POINTER(c_void_p), c_uint),
    "cudaStreamDestroy": (c_void_p,),
    "cudaStreamSynchronize": (c_void_p,),
    "cudaStreamBeginCapture": (c_void_p, c_int),
    "cudaStreamEndCapture": (c_void_p, POINTER(c_void_p)),
    "cudaGraphInstantiateWithFlags": (POINTER(c_void_p), c_void_p, c_ulonglong),
    "cudaGraphLaunch": (c_void_p, c_void_p),
    "cudaGraphExecDestroy": (c_void_p,),
    "cudaGraphDestroy": (c_void_p,),
}


class CudaError(RuntimeError):
    """A call of the CUDA runtime failed, or there is none; one sentence."""


class Cuda:
    """The CUDA runtime library, on device 0 (CUDA_VISIBLE_DEVICES chooses which that is).

    Args:
        path: of the library.

    Raises:
        CudaError: it cannot be loaded, or is older than CUDA 11.4.
    """

    def __init__(self, path: str) -> None:
        try:
            self._library = ctypes.CDLL(path)
            for name, arguments in _SIGNATURES.items():
                function = getattr(self._library, name)
                function.argtypes, function.restype = list(arguments), c_int
            self._library.cudaGetErrorString.argtypes, self._library.cudaGetErrorString.restype = [c_int], c_char_p
        except (OSError, AttributeError) as error:
            raise CudaError(f"the CUDA runtime {path} cannot be used: {error}") from error

    @property
    def version(self) -> str:
        """Version of the runtime, for example ``12.6``."""
        number = c_int()
        self._call("cudaRuntimeGetVersion", byref(number))
        return f"{number.value // 1000}.{number.value % 1000 // 10}"

    def device_count(self) -> int:
        """GPUs that can be used.

        Raises:
            CudaError: there is no GPU, or no driver for it.
        """
        count = c_int()
        self._call("cudaGetDeviceCount", byref(count))
        return count.value

    def device_name(self) -> str:
        """For example ``NVIDIA H200`` or ``Orin``."""
        properties = ctypes.create_string_buffer(_PROPERTIES_BYTES)
        self._call("cudaGetDeviceProperties", ctypes.cast(properties, c_void_p), 0)
        return properties.raw[:_NAME_BYTES].partition(b"\0")[0].decode(errors="replace")

    def compute_capability(self) -> str:
        """For example ``9.0``."""
        numbers = []
        for attribute in (_MAJOR, _MINOR):
            value = c_int()
            self._call("cudaDeviceGetAttribute", byref(value), attribute, 0)
            numbers.append(value.value)
        return f"{numbers[0]}.{numbers[1]}"

    def memory_used(self) -> int:
        """Bytes in use on the GPU, by everybody."""
        free, total = c_size_t(), c_size_t()
        self._call("cudaMemGetInfo", byref(free), byref(total))
        return total.value - free.value

    def allocate(self, size: int) -> Pointer:
        """Device memory of ``size`` bytes."""
        return self._pointer("cudaMalloc", size)

    def free(self, pointer: Pointer) -> None:
        """Give device memory back."""
        self._call("cudaFree", pointer)

    def allocate_host(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> tuple[Pointer, npt.NDArray[Any]]:
        """Pinned host memory, from which the GPU copies by itself, and an array over it, zeroed."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        pointer = self._pointer("cudaHostAlloc", size, 0)
        assert pointer.value is not None
        memory = (ctypes.c_byte * size).from_address(pointer.value)
        array: npt.NDArray[Any] = np.frombuffer(memoryview(memory), np.dtype(dtype)).reshape(shape)
        array.fill(0)
        return pointer, array

    def free_host(self, pointer: Pointer) -> None:
        """Give pinned memory back; arrays over it must not be used any more."""
        self._call("cudaFreeHost", pointer)

    def copy_to_device(self, device: Pointer, host: Pointer, size: int, stream: Pointer) -> None:
        """Queue a copy of ``size`` bytes."""
        self._call("cudaMemcpyAsync", device, host, size, _HOST_TO_DEVICE, stream)

    def copy_to_host(self, host: Pointer, device: Pointer, size: int, stream: Pointer) -> None:
        """Queue a copy of ``size`` bytes."""
        self._call("cudaMemcpyAsync", host, device, size, _DEVICE_TO_HOST, stream)

    def create_stream(self) -> Pointer:
        """A stream that does not wait for the default one."""
        return self._pointer("cudaStreamCreateWithFlags", _NON_BLOCKING)

    def destroy_stream(self, stream: Pointer) -> None:
        """End a stream."""
        self._call("cudaStreamDestroy", stream)

    def synchronize(self, stream: Pointer) -> None:
        """Wait until everything queued on the stream is done. Other threads run meanwhile."""
        self._call("cudaStreamSynchronize", stream)

    def begin_capture(self, stream: Pointer) -> None:
        """From here on what is queued on the stream is recorded, not run."""
        self._call("cudaStreamBeginCapture", stream, _CAPTURE_THREAD_LOCAL)

    def end_capture(self, stream: Pointer) -> Pointer:
        """An executable graph of what was recorded."""
        graph = self._pointer_last("cudaStreamEndCapture", stream)
        try:
            return self._pointer("cudaGraphInstantiateWithFlags", graph, 0)
        finally:
            self._call("cudaGraphDestroy", graph)

    def launch_graph(self, graph: Pointer, stream: Pointer) -> None:
        """Queue a graph."""
        self._call("cudaGraphLaunch", graph, stream)

    def destroy_graph(self, graph: Pointer) -> None:
        """Give a graph back."""
        self._call("cudaGraphExecDestroy", graph)

    def _pointer(self, name: str, *arguments: Any) -> Pointer:
        pointer = c_void_p()
        self._call(name, byref(pointer), *arguments)
        return pointer

    def _pointer_last(self, name: str, *arguments: Any) -> Pointer:
        pointer = c_void_p()
        self._call(name, *arguments, byref(pointer))
        return pointer

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            text = self._library.cudaGetErrorString(status).decode(errors="replace")
            raise CudaError(f"{name} failed with CUDA error {status}: {text}")


@cache
def load() -> Cuda:
    """The CUDA runtime of this machine: from the linker's paths, else from NVIDIA's wheels.

    The first that finds a GPU: a machine may have runtimes that are too new for its driver beside one that is not.

    Raises:
        CudaError: there is no driver, no runtime or no GPU.
    """
    try:
        ctypes.CDLL(_DRIVER)
    except OSError as error:  # else the runtime calls a driver that is not there "insufficient"
        raise CudaError(f"the NVIDIA driver ({_DRIVER}) is not installed") from error
    reasons = []
    for candidate in (*_NAMES, *_in_wheels()):
        try:
            runtime = Cuda(candidate)
            runtime.device_count()
        except CudaError as error:
            reasons.append(error)
        else:
            return runtime
    called = [reason for reason in reasons if reason.__cause__ is None]  # a library was there, and said why not
    if called:
        raise called[0]
    raise CudaError("no CUDA runtime (libcudart.so of CUDA 11.4 or later) is found") from reasons[0]


def _in_wheels() -> list[str]:
    spec = importlib.util.find_spec("nvidia")
    roots = [] if spec is None else [Path(root) for root in spec.submodule_search_locations or ()]
    return [str(path) for root in roots for folder in _WHEEL_FOLDERS for path in (root / folder).glob("libcudart.so*")]
