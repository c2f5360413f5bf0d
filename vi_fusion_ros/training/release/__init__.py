"""From a checkpoint to what ships: ONNX, calibrated manifest, model card."""
