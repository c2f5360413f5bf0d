"""Batches: packed frames, what is drawn from them, augmentation, targets. Pure functions of seed and number."""
