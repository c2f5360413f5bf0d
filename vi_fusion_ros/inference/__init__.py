"""Running the network: the engine protocol, the engines and the manifest that says what a model is."""
