"""Models: from a name in a recipe to a folder of safetensors. Imports no torch."""
