"""Names of stages, tasks and exports, which become file names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bozzetto.errors import ConfigError
from bozzetto.files import slug

LONGEST = 40
_NAME = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")


def check_names(where: str, names: Iterable[str]) -> None:
    """Check that names consist of letters, digits and single hyphens, and are unique ignoring case.

    Args:
        where: dotted key of the mapping with the names, e.g. `stages`.

    Raises:
        ConfigError: the message starts with `where`.
    """
    seen: dict[str, str] = {}
    for name in names:
        if not _NAME.fullmatch(name) or len(name) > LONGEST:
            raise ConfigError(
                f"{where}: {name[:80]!r} cannot be a name: letters, digits and hyphens, at most {LONGEST} of them, as "
                f"files are named by it. E.g. {slug(name)}."
            )
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise ConfigError(f"{where}: {name!r} and {other!r} would name the same files. Rename one.")
