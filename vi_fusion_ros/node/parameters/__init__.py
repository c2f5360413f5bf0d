"""The node's parameters: one schema, from which they are declared, validated and documented.

Only ``declaration`` imports ROS; no parameter is described anywhere else.
"""
