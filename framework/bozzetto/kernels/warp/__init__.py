"""Kernels in NVIDIA Warp, for float32 tensors on a GPU: compiled by Warp's own compiler on first use.

They need the package `warp-lang` (`pip install 'bozzetto[cuda]'`), and no CUDA toolkit and no C++ compiler. Importing
this package imports nothing of Warp; its modules do. They run on the CPU too, on one thread: the tests compare them
there with the torch references.
"""
