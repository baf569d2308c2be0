"""Compute kernels as pure functions. Import from `bozzetto.kernels.api`; this file imports nothing."""
