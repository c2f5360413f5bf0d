"""Why the network says what it says: maps over the image, and figures that tell how good these maps are."""
