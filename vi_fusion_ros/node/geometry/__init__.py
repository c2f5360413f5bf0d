"""How the thermal camera lies to the visible one, live: the rig in force, CameraInfo and TF, the drift watch."""
