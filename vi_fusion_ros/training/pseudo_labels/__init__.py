"""Boxes that a detector finds in training frames whose labels have no place; never in frames to judge by."""
