"""Bozzetto: text or photo to textured mesh by distilling an image diffusion model.

    run = bozzetto.generate("a cactus")
    run.mesh().show()

Importing this package imports no torch, so that listing and checking stay instant.
"""

from typing import TYPE_CHECKING, Any

from bozzetto.hookspecs import hookimpl
from bozzetto.spec import ComponentSpec, ModelSpec

if TYPE_CHECKING:
    from bozzetto.runs.interface import Run, check, generate, open_run, recipes, resume

__all__ = ["ComponentSpec", "ModelSpec", "Run", "check", "generate", "hookimpl", "open_run", "recipes", "resume"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the Python interface when it is first used: plugins import this package for `hookimpl` alone."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bozzetto.runs import interface

    return getattr(interface, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
