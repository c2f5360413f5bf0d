"""Figures of images and of answers: fusion, classification, flicker, and their intervals.

Nothing here reads files or writes reports.
"""
