"""How the thermal camera lies to the visible one, live: the rig that applies, CameraInfo and TF, the drift watch."""
