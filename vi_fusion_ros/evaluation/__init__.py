"""Fusion and classification metrics, evaluation of image folders and rosbags, and reports."""
