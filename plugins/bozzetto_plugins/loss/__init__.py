"""Built-in losses on opacities, normals, samples, meshes, parameters and photos."""
