"""Nodes and processes around the fusion node: players, recorders, live evaluation, demo, soak, benchmarks of nodes.

They may use every room but the commands, and nothing on the robot depends on them.
"""
