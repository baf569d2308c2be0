"""`bozzetto prior`: says what a model is, and whether it can guide."""
