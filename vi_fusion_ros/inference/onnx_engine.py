"""The embedded default engine: ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime

from vi_fusion_ros.inference.engine import INPUTS, OUTPUTS, EngineError, EngineOutput, Tensor
from vi_fusion_ros.inference.manifest import Manifest

_PROVIDER = "CPUExecutionProvider"


class OnnxRuntimeEngine:
    """A model in ONNX Runtime; see ``Engine`` for its methods.

    Args:
        model: the ``.onnx`` file; its manifest lies beside it.
        threads: CPU threads of one inference.

    Raises:
        EngineError: the model is missing, corrupt or has another interface.
        ManifestError: its manifest is missing, broken or of another model.
    """

    def __init__(self, model: Path, threads: int = 2) -> None:
        try:
            content = model.read_bytes()
        except OSError as error:
            raise EngineError(f"the model {model} cannot be read: {error.strerror}") from error
        self.manifest = Manifest.load(model.with_suffix(".json"))
        self.manifest.require_match(model, content)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads that spin between two images would take the processor from the cameras' drivers and from DDS.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=[_PROVIDER])
        except Exception as error:  # ONNX Runtime's classes have no common base
            first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise EngineError(f"{model} is not a model that ONNX Runtime can load: {first_line}") from error
        _require_interface(model, self._session)
        self.description = f"onnxruntime {onnxruntime.__version__} {_PROVIDER}, {threads} threads"
        self.reason = "the embedded default on a CPU"

    def infer(self, visible: Tensor, thermal: Tensor) -> EngineOutput:
        """Run the network; see ``Engine.infer``."""
        try:
            return EngineOutput(*self._session.run(list(OUTPUTS), {"visible": visible, "thermal": thermal}))
        except Exception as error:  # as above
            raise EngineError(
                f"the network failed on an image of {visible.shape[3]}x{visible.shape[2]}: {error}"
            ) from error

    def close(self) -> None:
        """Let go of the session."""
        del self._session


def _require_interface(model: Path, session: Any) -> None:
    inputs = {tensor.name: tensor.shape[1] for tensor in session.get_inputs() if len(tensor.shape) == 4}
    outputs = {tensor.name for tensor in session.get_outputs()}
    if inputs != INPUTS or not outputs.issuperset(OUTPUTS):
        raise EngineError(
            f"{model} has inputs {', '.join(sorted(inputs))} and outputs {', '.join(sorted(outputs))}; expected "
            f"visible [1,3,H,W] and thermal [1,1,H,W], and {', '.join(OUTPUTS)}"
        )
