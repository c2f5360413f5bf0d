"""Sphinx configuration: sphinx-build -W docs docs/_build."""

project = "vi_fusion_ros"
author = "vi_fusion_ros authors"
project_copyright = author

extensions = ["myst_parser"]
exclude_patterns = ["_build", "benchmarks"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = project
