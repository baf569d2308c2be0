"""Renders of the 3D models: cameras, rasteriser, training views and photos."""
