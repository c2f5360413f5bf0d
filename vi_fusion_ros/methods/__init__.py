"""Fusion methods of the literature behind one interface, and the engine that lets the pipeline run them.

One module a method, each after its publication; no torch here, and nothing that was trained on data of other terms.
"""
