"""Checks a machine with a GPU in less than ten minutes: tests, recipes with full-size random weights, kernels."""
