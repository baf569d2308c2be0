"""Readers of triangle mesh files: .glb, .gltf, .obj, .ply, .off, .stl. They import no torch."""
