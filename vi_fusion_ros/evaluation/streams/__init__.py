"""Streams of pairs judged as they come: bags, their labels, and live topics through the same code.

No ROS: who reads the messages hands them in.
"""
