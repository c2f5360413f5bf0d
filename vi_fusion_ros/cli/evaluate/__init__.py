"""``vi-fusion evaluate``: one module a kind of evaluation.

Options and output alone; metrics and reports lie in ``evaluation/``.
"""
