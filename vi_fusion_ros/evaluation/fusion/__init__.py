"""Fusion methods ranked on the same frames: trivial fusions, ours and others.

The metrics themselves lie in ``metrics/``, the pages in ``reports/``.
"""
