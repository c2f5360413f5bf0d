"""Reading, replaying and writing rosbag2 bags, without ROS. Below training and evaluation, which both use it."""
