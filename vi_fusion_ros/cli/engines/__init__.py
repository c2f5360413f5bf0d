"""``vi-fusion compile`` and ``quantize``: a model made faster, and the pairs that it is verified on.

Options and output alone; the work is done in ``engines/compile/``.
"""
