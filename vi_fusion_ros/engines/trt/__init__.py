"""TensorRT: what is installed, building engines, running them. Only ``builder`` and ``runtime`` import tensorrt."""
