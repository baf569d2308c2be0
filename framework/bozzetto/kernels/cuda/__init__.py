"""Adapters to optional CUDA packages: tinycudann, nerfacc, nvdiffrast. Importing this package imports none of them."""
