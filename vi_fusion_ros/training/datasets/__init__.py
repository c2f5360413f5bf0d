"""Dataset adapters: one class per layout on disk, one interface (``base.PairDataset``)."""
