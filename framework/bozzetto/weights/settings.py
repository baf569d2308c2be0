"""Settings files of a model folder. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bozzetto.errors import ModelError

LARGEST_JSON = 1 << 26
"""Maximum bytes of a JSON file; settings and vocabularies are far smaller."""


def read_settings(path: Path) -> Mapping[str, Any]:
    """Read a JSON file of a model folder.

    Raises:
        ModelError: it cannot be read, or is not a mapping.
    """
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise ModelError(f"{path} is {path.stat().st_size} bytes long, too large for a settings file.")
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    except RecursionError as error:
        raise ModelError(f"{path} is nested too deeply.") from error
    except ValueError as error:  # wrong encoding, invalid JSON, or a number of more than 4300 digits
        raise ModelError(f"{path} is not JSON: {error}.") from error
    if not isinstance(values, Mapping):
        raise ModelError(f"{path} holds {type(values).__name__}, not names and values.")
    return values
