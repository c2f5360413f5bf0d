"""Engines: what runs the compiled network, and the manifest that says what it is."""
