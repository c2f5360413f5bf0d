"""Reading, pairing, replaying and writing rosbag2 bags.

No ROS; below training and evaluation, which both use it.
"""
