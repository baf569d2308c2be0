"""Built-in view sources: random cameras around the origin, and a photo."""
