"""Running the network: the engine protocol, the engines, and what is known about a model and its engines.

No torch and no ROS; TensorRT is imported below ``trt/`` alone.
"""
