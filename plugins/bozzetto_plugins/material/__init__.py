"""Built-in materials: diffuse shading with directional or point lights, and unlit colour."""
