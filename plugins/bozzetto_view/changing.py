"""The tab of fields that change while a run trains. Imports viser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import viser

from bozzetto.live import Answer, State
from bozzetto_view.fields import Field, fields_of, value_of
from bozzetto_view.source import Source
from bozzetto_view.texts import escaped

Ask = Callable[[str, Any], str]
"""Sends a change and returns the name of the request; empty: it could not be sent."""
LONG = 22
"""Letters from which a field has several lines."""


class Changing:
    """Fields of a recipe; what differs from the values that act is applied together, or not at all."""

    def __init__(self, server: viser.ViserServer, source: Source, ask: Ask) -> None:
        self.source, self.ask = source, ask
        gui = server.gui
        gui.add_markdown("Values act from the next step on, are recorded, and repeated when the run is resumed.")
        self.fields: dict[str, Any] = {}
        self._acting: dict[str, str] = {}
        """Values that act, by key, as text."""
        self._asked: dict[str, tuple[str, ...]] = {}
        """Keys of changes that have no answer yet, by the name of the request."""
        self._refused = ""
        self._lasting = ""
        for field in self._found():
            several = len(source.recipe.stages) > 1 and field.key.startswith("stages.")
            label = f"{field.key.split('.')[1]}: {field.label}" if several else field.label
            self.fields[field.key] = gui.add_text(label, field.text, hint=field.key, multiline=len(field.text) > LONG)
            self._acting[field.key] = field.text
        self.key = gui.add_text("other field", "", hint="dotted key, e.g. system.optimizer.clip_norm")
        self.value = gui.add_text("value", "", hint="YAML")
        self.button = gui.add_button("Apply")
        self.told = gui.add_markdown("")
        self.button.on_click(lambda _: self.apply())

    def _found(self) -> list[Field]:
        recipe = self.source.changed_recipe()
        fields = {field.key: field for stage in recipe.stages for field in fields_of(recipe, stage)}
        return list(fields.values())

    def apply(self) -> None:
        """Send the fields whose text differs from the one that acts; none of them if one is no value."""
        texts = {key: handle.value for key, handle in self.fields.items() if handle.value != self._acting[key]}
        if self.key.value.strip():
            texts[self.key.value.strip()] = self.value.value
        values: dict[str, Any] = {}
        for key, text in texts.items():
            try:
                values[key] = value_of(key, text)
            except ValueError as error:
                self._tell(escaped(f"Nothing was sent: {key}: {error}"))
                return
        if not values:
            self._tell("Every field has the value that acts already.")
            return
        one = next(iter(values))
        name = self.ask(one, values[one]) if len(values) == 1 else self.ask("", values)
        if name:
            self._asked[name] = tuple(values)
            self.key.value = ""  # type: ignore[misc]  # viser gives it a setter in a way that mypy does not see

    def refresh(self, state: State | None) -> None:
        """Show the values that act, also those that others have changed, and what was refused."""
        for answer in state.answers if state is not None else ():
            if (keys := self._asked.pop(answer.name, None)) is not None:
                self._take(answer, keys)
        for field in self._found():
            if field.key in self.fields and self._acting[field.key] != field.text:
                self._acting[field.key] = self.fields[field.key].value = field.text
        lines = [f"- refused, and nothing was changed: {escaped(self._refused)}"] if self._refused else []
        lines += [f"- {escaped(line)}" for line in (state.changes if state is not None else ())]
        self._tell("\n".join(lines) or "Nothing has been changed.", lasting=True)

    def _take(self, answer: Answer, keys: tuple[str, ...]) -> None:
        """Give fields whose change was refused the values that act."""
        self._refused = answer.text if answer.refused else ""
        for key in keys if answer.refused else ():
            if key in self.fields:
                self.fields[key].value = self._acting[key]

    def _tell(self, text: str, lasting: bool = False) -> None:
        """Show a text; one that is `lasting` gives way to another until the next change of the lasting one."""
        if lasting:
            if text == self._lasting:
                return
            self._lasting = text
        if self.told.content != text:
            self.told.content = text
