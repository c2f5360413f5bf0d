"""Offline training: datasets, augmentation, losses, the trainer, tuning and export. Not imported by any node."""
