"""Computes the size of a recipe with its interpolations resolved, without resolving them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bozzetto.errors import ConfigError

LARGEST = 10_000_000
"""Maximum characters and values of a whole recipe."""
LONGEST_CHAIN = 100
"""Maximum length of a chain of interpolations, and depth of nested mappings and lists."""

_REFERENCE = re.compile(r"\$\{\s*(\.*)([\w.\-]*)\s*\}")

Path = tuple[str, ...]


def check_expansion(values: Mapping[str, Any]) -> None:
    """Raise `ConfigError` if the values with every `${...}` resolved would be too large."""
    _Expansion(values).size((), 0)


@dataclass
class _Expansion:
    """Sizes of the nodes of nested values, each computed once."""

    values: Mapping[str, Any]
    sizes: dict[Path, int] = field(default_factory=dict)

    def size(self, path: Path, depth: int) -> int:
        """Return the number of characters and values below a node; 0 if it does not exist or is circular."""
        if depth > LONGEST_CHAIN:
            raise ConfigError(f"{'.'.join(path)}: more than {LONGEST_CHAIN} interpolations lead to one another.")
        if path not in self.sizes:
            self.sizes[path] = 0  # placeholder during counting; circles are reported on resolution
            self.sizes[path] = self._count(path, self._node(path), depth + 1)
        if self.sizes[path] > LARGEST:
            raise ConfigError(f"{'.'.join(path) or 'the recipe'}: its interpolations make more than {LARGEST} of it.")
        return self.sizes[path]

    def _count(self, path: Path, node: Any, depth: int) -> int:
        if isinstance(node, Mapping):
            return 1 + sum(self.size((*path, str(key)), depth) for key in node)
        if isinstance(node, Sequence) and not isinstance(node, str):
            return 1 + sum(self.size((*path, str(index)), depth) for index in range(len(node)))
        if not isinstance(node, str):
            return 1
        return len(node) + sum(self.size(_target(path, *found), depth) for found in _REFERENCE.findall(node))

    def _node(self, path: Path) -> Any:
        node: Any = self.values
        for part in path:
            if isinstance(node, Mapping):
                node = next((value for key, value in node.items() if str(key) == part), None)
            elif isinstance(node, Sequence) and not isinstance(node, str) and part.isdigit() and int(part) < len(node):
                node = node[int(part)]
            else:
                return None
        return node


def _target(path: Path, dots: str, name: str) -> Path:
    """Return the path that a reference at `path` points to: absolute, or relative with one dot per mapping upward."""
    parts = tuple(part for part in name.split(".") if part)
    return (*path[: len(path) - len(dots)], *parts) if dots else parts
