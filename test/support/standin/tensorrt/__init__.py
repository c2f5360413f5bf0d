"""A TensorRT without a GPU: a plan is the ONNX graph that it was built from, and ONNX Runtime runs it.

It has what vi_fusion_ros/engines/trt/ calls, as far as the version of STANDIN_VERSION has it by its signatures
(test/engines/data/tensorrt/). STANDIN_BUILD makes its builder ``slow`` (it waits for the file STANDIN_GO), ``hang``,
``fail``, or ``wrong`` (what it builds computes something else).
"""

from __future__ import annotations

import ast
import ctypes
import enum
import json
import os
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

__version__ = os.environ.get("STANDIN_VERSION", "10.3.0")

_SIGNATURES = Path(__file__).parents[3] / "engines" / "data" / "tensorrt" / f"{__version__}.pyi"
_MAGIC = b"stand-in plan\n"


def _classes():
    tree = ast.parse(_SIGNATURES.read_text(encoding="utf-8"))
    return {node.name: node.body for node in tree.body if isinstance(node, ast.ClassDef)}


_CLASSES = _classes()


def _has(name):
    """What the class has in this version; empty where there is no such class."""
    body = _CLASSES.get(name, [])
    fields = {part.target.id for part in body if isinstance(part, ast.AnnAssign)}
    return fields | {part.name for part in body if isinstance(part, ast.FunctionDef)}


def _enumeration(kind, name, values):
    return kind(name, {member: value for member, value in values.items() if member in _has(name)})


_FLAGS = {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1}
NetworkDefinitionCreationFlag = _enumeration(enum.IntEnum, "NetworkDefinitionCreationFlag", _FLAGS)
BuilderFlag = _enumeration(enum.Enum, "BuilderFlag", {"FP16": 0, "INT8": 2, "GPU_FALLBACK": 4})
MemoryPoolType = _enumeration(enum.Enum, "MemoryPoolType", {"WORKSPACE": 0})
DeviceType = _enumeration(enum.Enum, "DeviceType", {"DLA": 1})
DataType = _enumeration(enum.Enum, "DataType", {"FLOAT": 0, "UINT8": 5})

_DTYPES = {onnx.TensorProto.FLOAT: (DataType.FLOAT, np.float32), onnx.TensorProto.UINT8: (DataType.UINT8, np.uint8)}


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    INTERNAL_ERROR, ERROR, WARNING = Severity.INTERNAL_ERROR, Severity.ERROR, Severity.WARNING

    def __init__(self):
        self.is_made = True


class Logger(ILogger):
    def __init__(self, min_severity=ILogger.Severity.WARNING):
        super().__init__()
        self.min_severity = min_severity

    def log(self, severity, msg):
        pass


class IHostMemory:
    def __init__(self, data):
        self._data = data

    def __bytes__(self):
        return self._data


class ITimingCache:
    def __init__(self, data):
        self.data = data

    def serialize(self):
        return IHostMemory(self.data + b"timed on " + __version__.encode())


class IProgressMonitor:
    def __init__(self):
        self.is_made = True


class IBuilderConfig:
    def __init__(self):
        super().__setattr__("flags", set())
        super().__setattr__("pools", {})
        super().__setattr__("cache", None)

    def __setattr__(self, name, value):
        if name not in _has("IBuilderConfig"):
            raise AttributeError(f"IBuilderConfig of TensorRT {__version__} has no {name}")
        super().__setattr__(name, value)

    def set_flag(self, flag):
        self.flags.add(flag)

    def set_memory_pool_limit(self, pool, pool_size):
        self.pools[pool] = pool_size

    def create_timing_cache(self, serialized_timing_cache):
        return ITimingCache(bytes(serialized_timing_cache))

    def set_timing_cache(self, cache, ignore_mismatch):
        if cache.data and not cache.data.endswith(__version__.encode()):
            return ignore_mismatch
        super().__setattr__("cache", cache)
        return True

    def get_timing_cache(self):
        return self.cache


class INetworkDefinition:
    def __init__(self, flags):
        self.flags, self.graph = flags, None


class ParserError:
    def __init__(self, text):
        self.text = text

    def __str__(self):
        return self.text


class OnnxParser:
    def __init__(self, network, logger):
        self._network, self._errors = network, []
        assert logger.is_made

    def parse(self, model, path=None):
        try:
            graph = onnx.load_from_string(bytes(model))
            onnx.checker.check_model(graph)
            types = {tensor.name: tensor.data_type for tensor in graph.graph.initializer}
            dequantized = [types.get(node.input[0]) for node in graph.graph.node if node.op_type == "DequantizeLinear"]
            assert onnx.TensorProto.INT32 not in dequantized, "DequantizeLinear takes no INT32"
        except Exception as error:
            self._errors = [ParserError(f"In node -1: {error}")]
            return False
        self._network.graph = bytes(model)
        return True

    @property
    def num_errors(self):
        return len(self._errors)

    def get_error(self, index):
        return self._errors[index]


class Builder:
    num_DLA_cores = 0  # noqa: N815

    def __init__(self, logger):
        assert logger.is_made, "pybind11 wants ILogger.__init__ to be called"
        self._logger = logger

    def create_network(self, flags=0):
        known = sum(1 << int(flag) for flag in NetworkDefinitionCreationFlag)
        assert not flags & ~known, f"TensorRT {__version__} knows no such flags: {flags}"
        if __version__.startswith("8."):
            assert flags & 1 << _FLAGS["EXPLICIT_BATCH"], "ONNX wants an explicit batch in 8"
        return INetworkDefinition(flags)

    def create_builder_config(self):
        return IBuilderConfig()

    def build_serialized_network(self, network, config):
        typed = network.flags & 1 << _FLAGS["STRONGLY_TYPED"]
        assert not (typed and config.flags), "a strongly typed network takes no precision flags"
        if not typed and "FP16" in _has("BuilderFlag"):
            types = {tensor.data_type for tensor in onnx.load_from_string(network.graph).graph.initializer}
            wanted = {"FP16"} if onnx.TensorProto.FLOAT16 in types else set()
            wanted |= {"INT8"} if onnx.TensorProto.INT8 in types else set()
            assert {flag.name for flag in config.flags} >= wanted, "types without the flags that allow them"
        how = os.environ.get("STANDIN_BUILD", "")
        monitor = getattr(config, "progress_monitor", None)
        if monitor is not None:
            assert monitor.is_made
            monitor.phase_start("Building Engine", None, 3)
        for step in range(3):
            while how == "hang" or (how == "slow" and not Path(os.environ["STANDIN_GO"]).exists()):
                time.sleep(0.02)
            if monitor is not None:
                assert monitor.step_complete("Building Engine", step)
        if monitor is not None:
            monitor.phase_finish("Building Engine")
        if how == "fail":
            self._logger.log(ILogger.WARNING, "slow tactics")
            self._logger.log(ILogger.ERROR, "IBuilder::buildSerializedNetwork: Error Code 10:\n no implementation")
            return None
        about = {"version": __version__, "wrong": how == "wrong"}
        return IHostMemory(_MAGIC + json.dumps(about).encode() + b"\n" + network.graph)


class Runtime:
    def __init__(self, logger):
        assert logger.is_made

    def deserialize_cuda_engine(self, serialized_engine):
        magic, _, rest = bytes(serialized_engine).partition(b"\n")
        about, _, graph = rest.partition(b"\n")
        try:
            assert magic + b"\n" == _MAGIC
            about = json.loads(about)
            assert about["version"] == __version__
            return ICudaEngine(graph, about["wrong"])
        except Exception:
            return None


class ICudaEngine:
    def __init__(self, graph, wrong):
        self.model, self.wrong = onnx.load_from_string(graph), wrong
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        values = [*self.model.graph.input, *self.model.graph.output]
        self.tensors = {value.name: value.type.tensor_type for value in values}

    @property
    def num_io_tensors(self):
        return len(self.tensors)

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_dtype(self, name):
        return _DTYPES[self.tensors[name].elem_type][0]

    def get_tensor_shape(self, name):
        return Dims([side.dim_value for side in self.tensors[name].shape.dim])

    def create_execution_context(self):
        return IExecutionContext(self)


class Dims:
    """Has a length and items, and no more than that: it is not a tuple."""

    def __init__(self, shape):
        self._shape = shape

    def __len__(self):
        return len(self._shape)

    def __getitem__(self, index):
        return self._shape[index]


class IExecutionContext:
    def __init__(self, engine):
        self._engine, self._arrays = engine, {}
        self._run = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._infer)
        self._call = ctypes.CDLL("libcudart.so.12").standin_call
        self._call.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]

    def set_tensor_address(self, name, memory):
        assert type(memory) is int
        shape = tuple(self._engine.get_tensor_shape(name))
        dtype = np.dtype(_DTYPES[self._engine.tensors[name].elem_type][1])
        bytes_of_it = (ctypes.c_byte * (int(np.prod(shape)) * dtype.itemsize)).from_address(memory)
        self._arrays[name] = np.frombuffer(bytes_of_it, dtype).reshape(shape)
        return True

    def execute_async_v3(self, stream_handle):
        assert type(stream_handle) is int
        return self._call(stream_handle, ctypes.cast(self._run, ctypes.c_void_p), None) == 0

    def _infer(self, _data):
        session = self._engine.session
        names = [output.name for output in session.get_outputs()]
        outputs = session.run(names, {value.name: self._arrays[value.name] for value in session.get_inputs()})
        for name, output in zip(names, outputs, strict=True):
            self._arrays[name][...] = 255 - output if self._engine.wrong and name == "fused" else output


if "IProgressMonitor" not in _CLASSES:
    del IProgressMonitor
