"""A model fitted to somebody's own cameras from recordings without labels, kept only where it is better."""
