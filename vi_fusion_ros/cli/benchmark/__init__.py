"""``vi-fusion benchmark``: one module a kind of measurement.

Options and output alone; what is measured, and how, lies in ``benchmarks/`` and ``tools/``.
"""
