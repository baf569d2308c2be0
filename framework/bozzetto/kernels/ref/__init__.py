"""Torch references of the kernels for any device and float type: the oracle of the tests and the last fallback."""
