"""What ``vi-fusion doctor`` looks at, one part of the machine a module.

No ROS: a live look at topics is handed in by ``tools/``.
"""
