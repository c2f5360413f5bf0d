"""The network, in torch: layers that fold, the dual-branch fusion network, and what it costs."""
