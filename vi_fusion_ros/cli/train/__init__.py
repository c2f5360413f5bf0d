"""``vi-fusion train``, ``tune``, ``export`` and ``dataset``: the commands before there is a model.

Options alone; torch is imported when a command runs, by ``training/``.
"""
