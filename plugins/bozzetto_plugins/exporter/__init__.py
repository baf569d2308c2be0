"""Built-in exporters: textured meshes and turntable images of a trained scene."""
