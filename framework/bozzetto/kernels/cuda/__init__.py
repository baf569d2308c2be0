"""Thin adapters to CUDA packages, each optional on its own: tinycudann, nerfacc, nvdiffrast. Importing imports none."""
