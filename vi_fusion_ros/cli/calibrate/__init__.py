"""``vi-fusion calibrate`` and ``rig``: one module a way of calibrating, with the page to click points in.

Inputs and outputs alone; the estimates lie in ``registration/estimate/``.
"""
