"""Things that the priors know: their names, captions and 3D models."""
