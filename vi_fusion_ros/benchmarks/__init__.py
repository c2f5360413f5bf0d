"""Measuring models: what can be timed, how it is timed, and how two measurements compare."""
