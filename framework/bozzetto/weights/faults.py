"""Detects damage of a model folder without loading it: settings, headers of weight files."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bozzetto.errors import ModelError
from bozzetto.model_files import read_settings, weight_files
from bozzetto.weights.folder import LANGUAGE_PARTS, parts_in, weights_in

LARGEST_HEADER = 100_000_000
"""Maximum bytes of a header, the limit of the safetensors library."""
LARGEST_NUMBER = 10_000_000
"""Maximum integer in settings; sizes, counts and tokens are far below."""
MOST_LAYERS = 512
MOST_NOISE_LEVELS = 100_000
BYTES_OF = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4, "I16": 2, "I8": 1}
BYTES_OF |= {"U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}
"""Bytes per element of each safetensors type."""


def check_folder(folder: Path) -> None:
    """Check every file of a model folder that will be read; for weights only the headers.

    Raises:
        ModelError: a file is damaged; the message says which and why.
    """
    parts = parts_in(folder)
    if parts != LANGUAGE_PARTS:
        read_settings(folder / "model_index.json")
    for part in parts:
        _check_settings(folder / part / "config.json")
        for path in weights_in(folder / part):
            check_header(path)
        for path in sorted((folder / part).glob("*.safetensors.index*.json")):
            _check_index(path)
    for part in ("scheduler", "tokenizer", "feature_extractor"):
        for path in sorted((folder / part).glob("*.json")):
            values = read_settings(path)
            if part == "scheduler":
                _check_scheduler(path, values)


def check_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor in a safetensors file, from its header.

    Raises:
        ModelError: the header is invalid, it does not match the file, or weights are integers.
    """
    header, follow = _header(path)
    found, end = {}, 0
    for name, entry in header.items():
        if name != "__metadata__":
            found[name], last = _tensor(path, name, entry)
            end = max(end, last)
    if end != follow:
        what = "cut short" if end > follow else "longer than it says"
        raise ModelError(f"{path} is {what}: its header speaks of {end} bytes of weights, {follow} follow.")
    return found


def read_metadata(path: Path) -> dict[str, str]:
    """Return the texts that the writer of a safetensors file put into its header, by name.

    Raises:
        ModelError: the header is invalid.
    """
    told = _header(path)[0].get("__metadata__", {})
    return {name: text for name, text in told.items() if isinstance(text, str)} if isinstance(told, dict) else {}


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file, and how many bytes follow it."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            start = stream.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
            if length > min(LARGEST_HEADER, size - 8):
                raise ModelError(f"{path} is cut short or no safetensors file: {size} bytes, its header is longer.")
            header = json.loads(stream.read(length).decode("utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not a safetensors file: its header is not JSON.") from error
    if not isinstance(header, dict):
        raise ModelError(f"{path} is not a safetensors file: its header holds no names.")
    return header, size - 8 - length


def _tensor(path: Path, name: str, entry: Any) -> tuple[tuple[int, ...], int]:
    """Return shape and end offset of one tensor."""
    try:
        kind, shape, (first, last) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        fits = (
            all(isinstance(item, int) and item >= 0 for item in (*shape, first, last))
            and last - first == math.prod(shape) * BYTES_OF[kind]
        )
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise ModelError(f"{path} is damaged: what its header says of {name!r:.80} does not fit together.")
    if name.endswith(("weight", "bias")) and not kind.startswith(("F", "BF")):
        raise ModelError(f"{path} holds {name!r:.80} as {kind}: weights of whole numbers cannot be read here.")
    return shape, last


def _check_settings(path: Path) -> None:
    for name, number in _numbers(read_settings(path)):
        most = MOST_LAYERS if any(word in name for word in ("layers", "depth")) else LARGEST_NUMBER
        if abs(number) > most:
            raise ModelError(f"{path} says {name}: {number:.6g}, more than any model has.")


def _check_scheduler(path: Path, values: Mapping[str, Any]) -> None:
    steps = values.get("num_train_timesteps", 1000)
    if not isinstance(steps, int) or not 1 <= steps <= MOST_NOISE_LEVELS:
        raise ModelError(f"{path} says num_train_timesteps: {steps!r:.80}; it must lie in [1, {MOST_NOISE_LEVELS}].")


def _check_index(path: Path) -> None:
    """Check that every shard named by an index exists, in the same folder or shared."""
    held, shards = weight_files(path.parent), read_settings(path).get("weight_map")
    if not isinstance(shards, Mapping):
        raise ModelError(f"{path} has no weight_map.")
    for name in sorted({str(shard) for shard in shards.values()}):
        if name not in held or not held[name].is_file():
            raise ModelError(f"{path} names {name!r:.80}, which is not beside it.")


def _numbers(value: object, name: str = "") -> Iterator[tuple[str, int | float]]:
    """Yield every number in settings, with the name of its key."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item, name)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield name, value
