"""Our declarations of the CUDA runtime's functions against its headers: ctypes believes whatever it is told."""

import json
from ctypes import POINTER, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from pathlib import Path

import pytest

from vi_fusion_ros.engines.trt import cuda

HEADERS = json.loads((Path(__file__).parent / "data" / "cuda_runtime.json").read_text())

SIMPLE = {
    "int": c_int,
    "unsigned int": c_uint,
    "unsigned long long": c_ulonglong,
    "size_t": c_size_t,
    "int *": POINTER(c_int),
    "size_t *": POINTER(c_size_t),
    "void **": POINTER(c_void_p),
}
HANDLES = ("cudaStream_t", "cudaGraph_t", "cudaGraphExec_t")


def as_ctypes(written):
    if written in SIMPLE:
        return SIMPLE[written]
    if written.startswith("enum ") or written == "cudaError_t":
        return c_int
    if written.removesuffix(" *") in HANDLES:  # pointers to what only CUDA knows
        return POINTER(c_void_p) if written.endswith("*") else c_void_p
    assert written in ("void *", "const void *", "struct cudaDeviceProp *"), written
    return c_void_p


@pytest.mark.parametrize("name", cuda._SIGNATURES)
def test_parameters(name):
    assert list(cuda._SIGNATURES[name]) == [as_ctypes(written) for written in HEADERS["functions"][name]]


def test_constants():
    assert HEADERS["constants"] == {
        "cudaMemcpyHostToDevice": cuda._HOST_TO_DEVICE,
        "cudaMemcpyDeviceToHost": cuda._DEVICE_TO_HOST,
        "cudaStreamCaptureModeThreadLocal": cuda._CAPTURE_THREAD_LOCAL,
        "cudaDevAttrComputeCapabilityMajor": cuda._MAJOR,
        "cudaDevAttrComputeCapabilityMinor": cuda._MINOR,
        "cudaStreamNonBlocking": cuda._NON_BLOCKING,
    }
