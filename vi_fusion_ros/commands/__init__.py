"""The commands of ``vi-fusion``, one module each; cli.py imports the one that is asked for."""
