"""Why the network says what it says: maps over the image, and figures that tell how good these maps are.

Torch and captum are at home here, so nothing that the node imports may depend on it.
"""
