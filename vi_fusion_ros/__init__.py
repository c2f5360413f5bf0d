"""Fuse a visible and a thermal camera: pairing, registration, a compiled dual-branch network, ROS 2 nodes."""
