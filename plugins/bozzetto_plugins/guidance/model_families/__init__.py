"""Families of diffusion models behind one protocol, for the guidance `diffusion-prior`."""
