"""The TensorRT engine: pinned memory, one stream, one CUDA graph for copies and inference. Imports tensorrt."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import tensorrt as trt

from vi_fusion_ros.engines.engine import INPUTS, OUTPUTS, EngineOutput, Plane, outputs_of, to_bytes
from vi_fusion_ros.engines.engine_manifest import EngineManifest
from vi_fusion_ros.engines.trt import cuda

_DTYPES = {trt.DataType.UINT8: np.uint8, trt.DataType.FLOAT: np.float32}


class _Tensor:
    """One input or output: pinned on the host, allocated on the device."""

    def __init__(self, runtime: cuda.Cuda, shape: tuple[int, ...], dtype: Any) -> None:
        self._runtime = runtime
        self.pinned, self.host = runtime.allocate_host(shape, dtype)
        self.device = runtime.allocate(self.host.nbytes)
        self.size = self.host.nbytes

    def free(self) -> None:
        self._runtime.free(self.device)
        self._runtime.free_host(self.pinned)


class TensorRTEngine:
    """Serves one size of images. See ``Engine``.

    Args:
        plan: the serialised engine.
        manifest: what it is.
        graph: record copies and inference into a CUDA graph. Where TensorRT cannot be recorded, ``description`` says
            so.

    Raises:
        ValueError: the plan is corrupt, of another TensorRT or GPU, or has another interface; one sentence.
        CudaError: the GPU is out of memory, or gone.
    """

    state = "ready"

    def __init__(self, plan: bytes, manifest: EngineManifest, *, graph: bool = True) -> None:
        self.manifest = manifest.model
        self._about = manifest
        self.reason = "a TensorRT engine for this GPU and this size is there"
        self._tensors: dict[str, _Tensor] = {}
        self._outputs = OUTPUTS
        self._graph: cuda.Pointer | None = None
        # All three are kept: a context must not outlive its engine, nor that its runtime.
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise ValueError(f"TensorRT {trt.__version__} cannot read the engine; build it again: {manifest.command}")
        self._engine: trt.ICudaEngine | None = engine
        self._context: trt.IExecutionContext | None = engine.create_execution_context()
        self._cuda = cuda.load()
        self._stream = self._cuda.create_stream()
        try:
            self._bind()
            self._run()  # TensorRT allocates on its first run, which must not be recorded
            self.description = f"tensorrt {trt.__version__} {manifest.summary} on {manifest.model.gpu}"
            self.description += f", {self._record() if graph else 'no CUDA graph'}"
        except BaseException:
            self.close()
            raise

    def buffers(self, height: int, width: int) -> tuple[Plane, Plane]:
        """See ``Engine.buffers``: uint8, in pinned memory.

        Raises:
            ValueError: the engine was built for another size.
        """
        if (width, height) != self._about.size:
            raise ValueError(
                f"the engine {self._about.summary} was built for images of {self._about.size_text}, these are "
                f"{width}x{height}; build one: {self._about.command_for((width, height))}"
            )
        return self._tensors["visible"].host, self._tensors["thermal"].host

    def infer(self, visible: Plane, thermal: Plane) -> EngineOutput:
        """See ``Engine.infer``.

        Raises:
            ValueError: the images are of another size, the GPU failed, or ``close()`` has been called.
        """
        if self._context is None:
            raise ValueError("the engine has been closed")
        for given, own in zip((visible, thermal), self.buffers(*visible.shape[2:]), strict=True):
            if given is not own:
                np.copyto(own, to_bytes(given))
        try:
            if self._graph is not None:
                self._cuda.launch_graph(self._graph, self._stream)
                self._cuda.synchronize(self._stream)
            else:
                self._run()
        except cuda.CudaError as error:
            raise ValueError(f"TensorRT failed on an image of {self._about.size_text}: {error}") from error
        return EngineOutput(*(self._tensors[name].host.copy() for name in self._outputs))

    def close(self) -> None:
        """See ``Engine.close``."""
        if self._graph is not None:
            self._cuda.destroy_graph(self._graph)
        for tensor in self._tensors.values():
            tensor.free()
        if self._context is not None:
            self._cuda.destroy_stream(self._stream)
        self._graph, self._tensors = None, {}
        self._context = self._engine = None

    def _bind(self) -> None:
        assert self._engine is not None
        assert self._context is not None
        names = {self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)}
        # The manifest is the model's: an engine without an output that it names was built from something else.
        self._outputs = outputs_of({*names, *self.manifest.outputs})
        if names != {*INPUTS, *self._outputs}:
            raise ValueError(
                f"the engine {self._about.summary} has the tensors {', '.join(sorted(names))}; expected "
                f"{', '.join((*INPUTS, *self._outputs))}; build it again: {self._about.command}"
            )
        for name in names:
            kind = self._engine.get_tensor_dtype(name)
            if kind not in _DTYPES:
                raise ValueError(f"the engine {self._about.summary}: {name} is of the unexpected type {kind}")
            shape = self._engine.get_tensor_shape(name)
            tensor = _Tensor(self._cuda, tuple(shape[axis] for axis in range(len(shape))), _DTYPES[kind])
            self._tensors[name] = tensor
            assert tensor.device.value is not None
            self._context.set_tensor_address(name, tensor.device.value)

    def _queue(self) -> None:
        for name in INPUTS:
            tensor = self._tensors[name]
            self._cuda.copy_to_device(tensor.device, tensor.pinned, tensor.size, self._stream)
        assert self._stream.value is not None
        assert self._context is not None
        if not self._context.execute_async_v3(self._stream.value):
            raise cuda.CudaError("TensorRT refused to run")
        for name in self._outputs:
            tensor = self._tensors[name]
            self._cuda.copy_to_host(tensor.pinned, tensor.device, tensor.size, self._stream)

    def _run(self) -> None:
        self._queue()
        self._cuda.synchronize(self._stream)

    def _record(self) -> str:
        """Record one run; how that went, for people."""
        self._cuda.begin_capture(self._stream)
        try:
            self._queue()
        except cuda.CudaError as error:
            self._abandon()
            return f"no CUDA graph ({error})"
        try:
            self._graph = self._cuda.end_capture(self._stream)
            self._cuda.launch_graph(self._graph, self._stream)
            self._cuda.synchronize(self._stream)
        except cuda.CudaError as error:
            self._graph = None
            return f"no CUDA graph ({error})"
        return "CUDA graph"

    def _abandon(self) -> None:
        with contextlib.suppress(cuda.CudaError):  # the capture is broken off, which is what was wanted
            self._cuda.destroy_graph(self._cuda.end_capture(self._stream))
