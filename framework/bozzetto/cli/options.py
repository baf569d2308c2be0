"""A parser of options whose errors are `UserError`s, as all that a user can cure."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from bozzetto.errors import UserError, did_you_mean, shown

MOST_LETTERS = 300
"""Length of a message of argparse at most: it repeats in full what it was given."""


class UsageError(UserError):
    """The command line is wrong."""


class Options(argparse.ArgumentParser):
    """`argparse.ArgumentParser` that raises `UsageError` instead of ending the process with two texts."""

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The options in `words`; overrides may stand between them.

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
        """Raises `UsageError` with the message of argparse and where the options are explained."""
        told = " ".join(message.replace(", key=value", "").split())  # which argparse counts as required
        half = MOST_LETTERS // 2
        if len(told) > MOST_LETTERS:
            told = f"{told[:half]} ... {told[-half:]}"
        raise UsageError(f"{told[:1].upper()}{told[1:]}. What there is: {self.prog} --help")

    def _about_unknown(self, left: Sequence[str]) -> str:
        """The message about words that no option took."""
        word = left[0]
        if not word.startswith("-"):
            return f"{shown(word)} is one word too many. What there is: {self.prog} --help"
        name, equals, _ = word.partition("=")
        known = [text for text in self._option_string_actions if text.startswith("--")]
        near = did_you_mean(name, known) if len(name) < MOST_LETTERS else ""
        hint = " A field of the recipe is set without a dash: key=value." if equals and self._takes_overrides else ""
        return f"There is no option {shown(name)}.{near}{hint} What there is: {self.prog} --help"

    @property
    def _takes_overrides(self) -> bool:
        return any(action.metavar == "key=value" for action in self._actions)
