"""Built-in geometries: density fields, extracted surfaces and fixed meshes."""
