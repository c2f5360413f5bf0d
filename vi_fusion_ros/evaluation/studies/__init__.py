"""Our model over whole datasets: under corrupted images, and one dataset beside another.

Figures only; the pages lie in ``reports/``.
"""
