"""Parses YAML to plain values within limits of size, depth and alias expansion. Keys are unique strings.

Nothing here recurses before the depth is checked, so that no text can crash or stall the interpreter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import yaml

from bozzetto.errors import ConfigError, shown

LARGEST_FILE = 1_000_000
"""Maximum bytes of a recipe."""
DEEPEST = 50
"""Maximum depth of nested mappings and lists."""
MOST_VALUES = 100_000
"""Maximum number of keys and values, with those repeated by aliases counted each time."""
LONGEST_NUMBER = 400
"""Maximum characters of a number; the largest float has 309 digits."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader if PyYAML was built with it: ten times faster."""

CORE = "tag:yaml.org,2002:"
TAGS = frozenset(f"{CORE}{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null"))
FLOAT = re.compile(
    r"^(?:[-+]?(?:\d[\d_]*\.[\d_]*|\.\d[\d_]*)(?:[eE][-+]?\d+)?|[-+]?\d[\d_]*[eE][-+]?\d+"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
"""YAML 1.1 reads `1e-3` as a string, YAML 1.2 as a number."""


def read_text(path: Path) -> str:
    """Read the text of a recipe file.

    Raises:
        ConfigError: too large, or not UTF-8.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise ConfigError(f"{path} is larger than {LARGEST_FILE // 1_000_000} MB: it is no recipe.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = data.count(b"\n", 0, error.start) + 1, data[error.start]
        raise ConfigError(f"{path}:{line}: not UTF-8 text (byte 0x{byte:02x}). Save it as UTF-8.") from error


def parse(text: str, where: str) -> Any:
    """Parse a YAML document to plain values: mappings with string keys, lists, strings, numbers, booleans, None.

    Args:
        where: prefix of error messages, before the line.

    Raises:
        ConfigError: not YAML, or out of bounds.
    """
    if len(text) > LARGEST_FILE:
        raise ConfigError(f"{where}: more than {LARGEST_FILE // 1_000_000} MB of YAML.")
    try:
        _Scan(where).run(text)
        return yaml.load(text, Loader=_Plain)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}:{mark.line + 1}" if mark else where
        raise ConfigError(f"{place}: cannot be read as YAML: {error.problem or error.context}.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{where}: cannot be read as YAML: {' '.join(str(error).split())}") from error


@dataclass
class _Open:
    """Mapping or list that is being scanned."""

    is_mapping: bool
    anchor: str | None
    size: int = 1
    items: int = 0
    lines: dict[str, int] = field(default_factory=dict)
    """Line of each key of a mapping."""

    @property
    def at_key(self) -> bool:
        """Return whether the next item is a key."""
        return self.is_mapping and self.items % 2 == 0


@dataclass
class _Scan:
    """Scan over the events of a text."""

    where: str
    stack: list[_Open] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    """Number of values below each completed anchor."""
    documents: int = 0

    def run(self, text: str) -> None:
        """Raise `ConfigError` where the text exceeds a limit."""
        for event in yaml.parse(text, Loader=LOADER):
            line = 1 if event.start_mark is None else event.start_mark.line + 1
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    self._refuse(line, "a second document starts here, and a recipe is one. Remove the line ---")
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                self._open(event, line)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                closed = self.stack.pop()
                self._add(closed.size, closed.anchor, line)
            elif isinstance(event, yaml.ScalarEvent):
                self._check_tag(event.tag, line)
                self._check_key(event.value, line)
                self._add(1, event.anchor, line)
            elif isinstance(event, yaml.AliasEvent):
                if event.anchor is None or event.anchor not in self.sizes:
                    self._refuse(line, f"the alias *{event.anchor} has no anchor, or is within it")
                self._check_key(None, line)
                self._add(self.sizes[event.anchor], None, line)

    def _open(self, event: Any, line: int) -> None:
        self._check_tag(event.tag, line)
        self._check_key(None, line)
        if len(self.stack) >= DEEPEST:
            self._refuse(line, f"more than {DEEPEST} nested mappings and lists")
        self.stack.append(_Open(isinstance(event, yaml.MappingStartEvent), event.anchor))

    def _add(self, size: int, anchor: str | None, line: int) -> None:
        """Count a complete value."""
        if anchor:
            self.sizes[anchor] = size
        if self.stack:
            self.stack[-1].size += size
            self.stack[-1].items += 1
        if max(size, self.stack[-1].size if self.stack else 0) > MOST_VALUES:
            self._refuse(line, f"more than {MOST_VALUES} values, aliases counted each time")

    def _check_key(self, key: str | None, line: int) -> None:
        """Check that a key is a unique string; `<<` may be repeated."""
        if not self.stack or not self.stack[-1].at_key:
            return
        lines = self.stack[-1].lines
        if key is None:
            self._refuse(line, "a key must be text")
        elif key in lines and key != "<<":
            self._refuse(line, f"the key {shown(key)} is in line {lines[key]} already. Keep one of them")
        else:
            lines[key] = line

    def _check_tag(self, tag: str | None, line: int) -> None:
        if tag not in (None, "!") and tag not in TAGS:
            self._refuse(line, f"the tag {shown(tag.replace(CORE, '!!'))} is not for recipes. Remove it")

    def _refuse(self, line: int, why: str) -> NoReturn:
        raise ConfigError(f"{self.where}:{line}: {why}.")


class _Plain(LOADER):  # type: ignore[misc, valid-type] # one of two classes, known when it runs
    """Loader of plain values: keys as they are written, no dates."""

    yaml_implicit_resolvers: ClassVar[Any] = {
        first: [(tag, pattern) for tag, pattern in known if tag not in (f"{CORE}timestamp", f"{CORE}float")]
        for first, known in LOADER.yaml_implicit_resolvers.items()
    }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Resolve `<<`, then read every key as a string: a stage called 1 has the name "1"."""
        super().flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = f"{CORE}str"

    def whole_number(self, node: yaml.ScalarNode) -> int:
        """Construct an integer of bounded length, since Python does not print or parse thousands of digits."""
        if len(node.value) > LONGEST_NUMBER:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number of {len(node.value)} digits exceeds every range", node.start_mark
            )
        number: int = self.construct_yaml_int(node)
        return number


_Plain.add_constructor(f"{CORE}int", _Plain.whole_number)
_Plain.add_implicit_resolver(f"{CORE}float", FLOAT, list("-+0123456789."))
