"""``vi-fusion fuse``: the node's pipeline on files.

Reading and writing alone; no step of the pipeline is written twice.
"""
