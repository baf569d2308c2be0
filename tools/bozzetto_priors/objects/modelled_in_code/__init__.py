"""3D models that are built from primitives in code, by subject."""
