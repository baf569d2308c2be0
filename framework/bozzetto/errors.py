"""The errors a person can cause and cure. The command line prints them without a traceback and exits with 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can fix. The message says where, what, what is nearest, and the cure.

    About a recipe, it starts with the dotted key of what is wrong: the host finds the file and line by it.
    """

    stage: str = ""
    """The stage of the recipe it is about, if any."""


class ConfigError(UserError):
    """A recipe or an override is wrong."""


class PluginError(UserError):
    """A plugin cannot be used."""


class ModelError(UserError):
    """The weights of a model cannot be had."""


class RunFolderError(UserError):
    """A run folder is damaged, in use, or not one."""


class ExportError(UserError):
    """A mesh or a picture cannot be written from this scene."""


class NonFiniteError(FloatingPointError):
    """A component produced a NaN or an infinity. The message names the component and the step."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`" Did you mean 'density_bias'?"` for the nearest of `known`, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def shown(value: object, length: int = 80) -> str:
    """A value in a message: as Python writes it, cut to `length` characters in the middle."""
    try:
        text = repr(value)
    except ValueError:  # of whole numbers with thousands of digits
        return "a number of thousands of digits"
    half = (length - 5) // 2
    return text if len(text) <= length else f"{text[:half]} ... {text[-half:]}"
