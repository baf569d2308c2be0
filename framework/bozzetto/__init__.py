"""Bozzetto: text or photo to textured mesh by distilling an image diffusion model.

Importing this package imports no torch, so that listing and checking stay instant.
"""

from bozzetto.hookspecs import hookimpl
from bozzetto.spec import ComponentSpec

__all__ = ["ComponentSpec", "hookimpl"]
__version__ = "0.1.0"
