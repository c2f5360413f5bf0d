"""Annotation files of data sets: boxes and masks as each format writes them, to the labels of this package."""
