"""Errors that the user can fix. The command line prints them without a traceback and exits with 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ConfigError",
    "ExportError",
    "ModelError",
    "NonFiniteError",
    "OtherGuidanceError",
    "PluginError",
    "RunFolderError",
    "UserError",
    "did_you_mean",
    "shown",
]


class UserError(Exception):
    """Error that the user can fix. The message says where, what, what is nearest, and the cure.

    On a recipe, the message starts with the dotted key of the error, by which the host finds file and line.
    """

    stage: str = ""
    """Stage of the recipe that the error is about, if any."""


class ConfigError(UserError):
    """Wrong recipe or override."""


class PluginError(UserError):
    """Unusable plugin."""


class ModelError(UserError):
    """Model weights that cannot be found or used."""


class OtherGuidanceError(ModelError):
    """Model that the guidance cannot use, and another one can."""


class RunFolderError(UserError):
    """Run folder that is damaged, in use, or not a run folder."""


class ExportError(UserError):
    """Mesh or image that cannot be written from this scene."""


class NonFiniteError(FloatingPointError):
    """NaN or infinity produced by a component. The message names the component and the step."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'density_bias'?"` for the nearest of `known`, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def shown(value: object, length: int = 80) -> str:
    """Format a value for a message: its `repr`, cut to `length` characters in the middle."""
    try:
        text = repr(value)
    except ValueError:  # integers with thousands of digits
        return "a number of thousands of digits"
    half = (length - 5) // 2
    return text if len(text) <= length else f"{text[:half]} ... {text[-half:]}"
