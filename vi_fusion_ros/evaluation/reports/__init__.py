"""Results as one HTML file each, with plots and pictures.

Nothing is measured here.
"""
