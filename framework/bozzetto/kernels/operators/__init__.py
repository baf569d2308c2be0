"""Kernels as torch operators: signatures, shapes of results and derivatives, shared by the C++ and the Warp kernels."""
