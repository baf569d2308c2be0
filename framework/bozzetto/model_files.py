"""Files of a model folder: settings, and weights, some of which may lie in the folder of another model. No torch.

`shared_weights` in a folder's `bozzetto.json` names those: `{"unet/x.safetensors": "../OTHER/unet/x.safetensors"}`.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from bozzetto.errors import ModelError

__all__ = [
    "ModelFacts", "ModelJudge", "ModelReader", "facts_of", "read_settings", "shared_weights", "weight_files",
    "whole_part",
]  # fmt: skip

FILE, KEY = "bozzetto.json", "shared_weights"
SUFFIXES = (".safetensors", ".bin")
LARGEST_JSON = 1 << 26
"""Maximum bytes of a JSON file; settings and vocabularies are far smaller."""

_NAME = r"(?!\.)[\w.-]+"
_OURS = re.compile(rf"(?P<part>{_NAME})/(?P<name>{_NAME}\.safetensors)")
_THEIRS = re.compile(rf"\.\./(?P<model>{_NAME})/{_NAME}/{_NAME}\.safetensors")


@dataclass(frozen=True)
class ModelFacts:
    """What a model says of itself before its weights are read or downloaded."""

    name: str
    """Name as given in the recipe, or the path."""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """JSON files of a folder by their path in it, e.g. `model_index.json` and `unet/config.json`; `config.json` is that
    of a single network, e.g. a ControlNet. Empty for a file."""
    tensors: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Shapes by name, from the header of a single file; empty for a folder."""

    def setting(self, path: str, key: str) -> Any:
        """Return a value of a settings file; None without it."""
        return self.settings.get(path, {}).get(key)


@runtime_checkable
class ModelJudge(Protocol):
    """Config of a component that judges models before they are downloaded."""

    def family_of(self, facts: ModelFacts) -> str:
        """Return the name of a model's family.

        Raises:
            ModelError: the component cannot use it; the message, which starts with `model: `, says why.
        """


@runtime_checkable
class ModelReader(ModelJudge, Protocol):
    """Config of a component that reads single files, too."""

    def write_model_folder(self, file: Path, tensors: Mapping[str, Any], folder: Path) -> None:
        """Write the model of a single file, whose tensors are given by name, into an empty folder as safetensors.

        Raises:
            ModelError: the file is not of a family that can be read, or parts of the model are missing in it.
        """


def facts_of(name: str, folder: Path) -> ModelFacts:
    """Return what a folder in diffusers' format says of its model; weights need not be there.

    Raises:
        ModelError: a settings file is damaged.
    """
    parts = sorted([*folder.glob("*/config.json"), *folder.glob("*/scheduler_config.json")])
    paths = [path for path in (folder / "model_index.json", folder / "config.json", *parts) if path.is_file()]
    return ModelFacts(name, {path.relative_to(folder).as_posix(): read_settings(path) for path in paths})


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


def shared_weights(folder: Path) -> dict[str, Path]:
    """Return the files that a model folder shares, by their place in it, `part/name`; empty without `bozzetto.json`.

    Raises:
        ModelError: a place is not as described above, or a file is not there.
    """
    card = folder / FILE
    named = read_settings(card).get(KEY, {}) if card.is_file() else {}
    if not isinstance(named, Mapping):
        raise ModelError(f"{card}: {KEY} must give files by their place here, not {named!r:.80}.")
    found = {}
    for place, source in named.items():
        theirs = _THEIRS.fullmatch(source) if isinstance(source, str) else None
        if not _OURS.fullmatch(place) or theirs is None:
            raise ModelError(
                f"{card}: {KEY}: {place!r:.80}: {source!r:.80} must be PART/FILE.safetensors: "
                "../MODEL/PART/FILE.safetensors, a file of a model beside this one."
            )
        found[place] = folder / source
        if not found[place].is_file():
            raise ModelError(
                f"{folder} is not whole: it shares {place} with the model {theirs['model']!r}, and {source} is not "
                f"there. Copy the folder {theirs['model']} beside it, too, or give the model by its alias."
            )
    return found


def weight_files(part: Path) -> dict[str, Path]:
    """Return the weight files of a part's folder by name, its own and those of another model; all formats and variants.

    Raises:
        ModelError: as in `shared_weights`.
    """
    own = {path.name: path for suffix in SUFFIXES for path in part.glob(f"*{suffix}")}
    shared = {
        place.partition("/")[2]: path
        for place, path in shared_weights(part.parent).items()
        if place.partition("/")[0] == part.name
    }
    return dict(sorted({**shared, **own}.items()))


@contextmanager
def whole_part(part: Path) -> Iterator[Path]:
    """Yield a part's folder with all of its files, as libraries read it; temporary if another model holds some.

    Raises:
        ModelError: as in `shared_weights`.
    """
    elsewhere = {name: path for name, path in weight_files(part).items() if path.parent != part}
    if not elsewhere:
        yield part
        return
    with tempfile.TemporaryDirectory(prefix="bozzetto-", ignore_cleanup_errors=True) as made:
        gathered = Path(made) / part.name
        gathered.mkdir()
        for name, path in {**{path.name: path for path in part.iterdir()}, **elsewhere}.items():
            _put(path.resolve(), gathered / name)
        yield gathered


def _put(path: Path, target: Path) -> None:
    """Link a file, or copy it where there are no links."""
    try:
        target.symlink_to(path)
    except OSError:  # not permitted to every user of Windows
        shutil.copyfile(path, target)
