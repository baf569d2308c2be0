"""Built-in renderers: volume rendering and mesh rasterisation."""
