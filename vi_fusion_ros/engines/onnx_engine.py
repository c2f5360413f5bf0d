"""The embedded default engine: ONNX Runtime, on the CPU unless asked otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

from vi_fusion_ros.engines.engine import (
    INPUTS,
    OBJECTS,
    OUTPUTS,
    EngineOutput,
    FloatBuffers,
    Plane,
    Tensor,
    outputs_of,
    to_unit,
)
from vi_fusion_ros.engines.manifest import Manifest
from vi_fusion_ros.errors import one_line

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_WARM_UP = (640, 480)
_FATAL_ONLY = 4  # ONNX Runtime's log severity: what fails is raised, and said once, by us


class OnnxRuntimeEngine:
    """Serves an ONNX file. See ``Engine``.

    Args:
        path: the ONNX file; its manifest lies beside it with the suffix ``.json``.
        threads: CPU threads of one inference, at least 1.
        cuda: use the CUDA provider. Where it does not start, ONNX Runtime falls back to the CPU; ``description`` says
            what serves.

    Attributes:
        outputs: names of the outputs that are asked of the model.

    Raises:
        ValueError: a file is missing or corrupt, the two do not belong together, or the model has another interface
            than ``INPUTS`` and ``OUTPUTS``; one sentence with the path.
    """

    reason = "ONNX Runtime on the CPU is the embedded default"
    state = "ready"

    def __init__(self, path: str | Path, threads: int = 2, *, cuda: bool = False) -> None:
        path = Path(path)
        if threads < 1:
            raise ValueError(f"threads is {threads}; expected at least 1")
        if not path.is_file():
            raise ValueError(f"model {path} is missing; expected an ONNX file with its manifest (.json) beside it")
        self.manifest = Manifest.load(path.with_suffix(".json"))
        self.manifest.check_onnx(path)
        self._session: onnxruntime.InferenceSession | None = open_session(path, threads, cuda=cuda)
        self.provider = self._session.get_providers()[0]
        self.description = f"onnxruntime {onnxruntime.__version__} {self.provider}"
        if self.provider == CPU:
            self.description += f", {threads} thread{'s' * (threads > 1)}"
        self._buffers = FloatBuffers()
        self.outputs = outputs_of([output.name for output in self._session.get_outputs()])
        self._try(path)
        # The first image of a usual camera finds its memory allocated: half the time of that first inference.
        width, height = self.manifest.padded(_WARM_UP)
        self.infer(*(np.zeros((1, c, height, width), np.float32) for c in INPUTS.values()))

    def buffers(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """See ``Engine.buffers``: float32, the same arrays as long as the size is the same."""
        return self._buffers.of(height, width)

    def infer(self, visible: Plane, thermal: Plane) -> EngineOutput:
        """See ``Engine.infer``.

        Raises:
            ValueError: the model failed, or ``close()`` has been called.
        """
        if self._session is None:
            raise ValueError("the engine has been closed")
        try:
            inputs = {"visible": to_unit(visible), "thermal": to_unit(thermal)}
            return EngineOutput(*self._session.run(self.outputs, inputs))
        except Exception as error:  # ONNX Runtime's exceptions share no other base
            size = f"{visible.shape[3]}x{visible.shape[2]}"
            raise ValueError(
                f"model {self.manifest.model_id} failed on an image of {size}: {one_line(error)}"
            ) from error

    def close(self) -> None:
        """See ``Engine.close``."""
        self._session = None

    def _try(self, path: Path) -> None:
        """One inference on the smallest images; its outputs must have the agreed shapes."""
        assert self._session is not None
        inputs = {i.name: i for i in self._session.get_inputs()}
        names = [o.name for o in self._session.get_outputs()]
        if set(inputs) != set(INPUTS) or not set(OUTPUTS) <= set(names):
            raise ValueError(
                f"model {path} has the inputs {', '.join(inputs)} and outputs {', '.join(names)}; expected "
                f"{', '.join(INPUTS)} and {', '.join(OUTPUTS)}"
            )
        missing = [name for name in self.manifest.outputs if name not in names]
        if missing:
            raise ValueError(
                f"model {path} has no output {missing[0]}, which its manifest names; it has {', '.join(names)}"
            )
        for name, channels in INPUTS.items():
            shape, kind = inputs[name].shape, inputs[name].type
            # Height and width have to be free: cameras decide on them, not models.
            fixed = [isinstance(side, int) for side in shape]
            if kind != "tensor(float)" or fixed[2:] != [False, False] or shape[1] != channels:
                raise ValueError(
                    f"model {path}: input {name} is {kind} {shape}; expected tensor(float) [1, {channels}, H, W] with "
                    "free H and W"
                )
        side, labels = self.manifest.multiple, len(self.manifest.labels)
        output = self.infer(*(np.zeros((1, c, side, 2 * side), np.float32) for c in INPUTS.values()))
        objects = output.objects
        rows = objects.shape[2] if objects is not None and objects.ndim == 4 else 1  # as many as the model likes
        expected = {
            "fused": (1, 1, side, 2 * side),
            "attention": (1, 1, side, 2 * side),
            "logits": (1, labels),
            "illumination": (1, len(self.manifest.illumination)),
            OBJECTS: (1, 5 * labels, rows, 2 * rows),
        }
        for name in self.outputs:
            if (got := getattr(output, name).shape) != (shape := expected[name]):
                raise ValueError(f"model {path}: output {name} has the shape {got}; expected {shape} by its manifest")


def cuda_is_installed() -> bool:
    """Whether this ONNX Runtime was built with the CUDA provider; a GPU may still be missing."""
    return CUDA in onnxruntime.get_available_providers()


def open_session(path: Path, threads: int, *, cuda: bool = False) -> onnxruntime.InferenceSession:
    """A session that leaves the cores to others while it waits.

    Raises:
        ValueError: the file cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _FATAL_ONLY
    # Threads that spin while they wait for work take the cores from the cameras and from DDS.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=[CUDA, CPU] if cuda else [CPU])
    except Exception as error:  # as above
        raise ValueError(f"model {path} cannot be loaded: {one_line(error)}") from error
