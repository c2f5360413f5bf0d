"""The only way in for stamped images, live or from a bag: stamps to pairs, which camera can be used, what is wrong.

No pixels are changed here, and nothing here knows ROS, engines or the pipeline.
"""
