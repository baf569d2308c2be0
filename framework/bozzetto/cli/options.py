"""Argument parser that raises `UserError`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from bozzetto.errors import UserError, did_you_mean, shown

MOST_LETTERS = 300
"""Maximum length of an argparse message in characters; argparse repeats its input in full."""


class UsageError(UserError):
    """Wrong command-line usage."""


class Options(argparse.ArgumentParser):
    """`argparse.ArgumentParser` that raises `UsageError` instead of exiting."""

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse `words` into options; overrides may be interspersed.

        Raises:
            UsageError: an option is unknown, missing or has a wrong value.
        """
        nested = any(isinstance(action, argparse._SubParsersAction) for action in self._actions)
        read = self.parse_known_args if nested else self.parse_known_intermixed_args
        options, left = read(list(words))
        if left:
            raise UsageError(self._about_unknown(left))
        return options

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` with the argparse message and a pointer to `--help`."""
        told = " ".join(message.replace(", key=value", "").split())  # argparse lists optional overrides as required
        half = MOST_LETTERS // 2
        if len(told) > MOST_LETTERS:
            told = f"{told[:half]} ... {told[-half:]}"
        raise UsageError(f"{told[:1].upper()}{told[1:]}. See {self.prog} --help")

    def _about_unknown(self, left: Sequence[str]) -> str:
        """Return the message for arguments that no option accepts."""
        word = left[0]
        if not word.startswith("-"):
            return f"{shown(word)} is an unexpected argument. See {self.prog} --help"
        name, equals, _ = word.partition("=")
        known = [text for text in self._option_string_actions if text.startswith("--")]
        near = did_you_mean(name, known) if len(name) < MOST_LETTERS else ""
        hint = " A field of the recipe is set without a dash: key=value." if equals and self._takes_overrides else ""
        return f"There is no option {shown(name)}.{near}{hint} See {self.prog} --help"

    @property
    def _takes_overrides(self) -> bool:
        return any(action.metavar == "key=value" for action in self._actions)
