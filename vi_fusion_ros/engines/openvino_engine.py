"""OpenVINO on the CPU: an option, which runs int8 models faster than ONNX Runtime does. Imports openvino."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino

from vi_fusion_ros.engines.compile.verify import noise_pairs, verify
from vi_fusion_ros.engines.engine import INPUTS, EngineOutput, FloatBuffers, Plane, Tensor, to_unit
from vi_fusion_ros.engines.onnx_engine import OnnxRuntimeEngine
from vi_fusion_ros.errors import one_line

Size = tuple[int, int]

_WARM_UP = (640, 480)
_MOST_SIZES = 4


class OpenVinoEngine:
    """Serves an ONNX file. See ``Engine``.

    The model is compiled for each size of images, which takes some tenths of a second when the first image of a size
    comes; for 640x480 that is done beforehand. Compiled for sizes that are free it is a third slower.

    Args:
        path: the ONNX file; its manifest lies beside it with the suffix ``.json``.
        threads: CPU threads of one inference, at least 1.

    Raises:
        ValueError: ONNX Runtime cannot load the model, OpenVINO cannot, or they disagree; one sentence with the path.
    """

    reason = "backend is openvino; OpenVINO on the CPU"
    state = "ready"

    def __init__(self, path: str | Path, threads: int = 2) -> None:
        reference = OnnxRuntimeEngine(path, threads)  # says what is wrong with files and interface
        self.manifest, self._outputs = reference.manifest, reference.outputs
        version = openvino.__version__.split("-")[0]
        self.description = f"openvino {version} CPU, {threads} thread{'s' * (threads > 1)}"
        self._settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",  # of what is not quantised; bfloat16 else, on some processors
            "ENABLE_CPU_PINNING": False,  # the cores are also the cameras' and DDS's
        }
        self._core = openvino.Core()
        self._model: Any = None
        self._requests: dict[Size, Any] = {}
        self._buffers = FloatBuffers()
        try:
            self._model = self._core.read_model(path)
            side = self.manifest.multiple
            result = verify(self, reference, [], noise_pairs((4 * side, 3 * side)), self.manifest.precision)
            self._request(self.manifest.padded(_WARM_UP))
        except RuntimeError as error:
            raise ValueError(f"model {path} cannot be loaded by OpenVINO: {one_line(error)}") from error
        finally:
            reference.close()
        if result.reason:
            raise ValueError(f"model {path} is not what ONNX Runtime computes in OpenVINO: {result.reason}")

    def buffers(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """See ``Engine.buffers``: float32, the same arrays as long as the size is the same."""
        return self._buffers.of(height, width)

    def infer(self, visible: Plane, thermal: Plane) -> EngineOutput:
        """See ``Engine.infer``.

        Raises:
            ValueError: the model failed, or ``close()`` has been called.
        """
        if self._model is None:
            raise ValueError("the engine has been closed")
        size = (visible.shape[3], visible.shape[2])
        try:
            inputs = {"visible": to_unit(visible), "thermal": to_unit(thermal)}
            results = self._request(size).infer(inputs, share_inputs=True)
        except RuntimeError as error:
            raise ValueError(
                f"model {self.manifest.model_id} failed on an image of {size[0]}x{size[1]}: {one_line(error)}"
            ) from error
        return EngineOutput(*(np.array(results[name]) for name in self._outputs))

    def close(self) -> None:
        """See ``Engine.close``."""
        self._model = None
        self._requests.clear()

    def _request(self, size: Size) -> Any:
        """The model compiled for a size."""
        if size not in self._requests:
            while len(self._requests) >= _MOST_SIZES:
                del self._requests[next(iter(self._requests))]
            model = self._model.clone()
            model.reshape({name: [1, channels, size[1], size[0]] for name, channels in INPUTS.items()})
            self._requests[size] = self._core.compile_model(model, "CPU", self._settings).create_infer_request()
        return self._requests[size]
