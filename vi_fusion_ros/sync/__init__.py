"""What brings two streams together: stamps to pairs, and which camera can be used.

No pixels are changed here, and nothing here knows ROS, engines or the pipeline.
"""
