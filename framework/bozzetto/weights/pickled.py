"""Converts model folders with pickled weights (`.bin`) to safetensors, once. Imports torch."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from bozzetto.errors import ModelError
from bozzetto.files import UNFINISHED, write_atomically, write_text
from bozzetto.weights.folder import configs_of, parts_in, weights_in

STAMP = "converted.json"
"""File that records the source of a converted folder: name, size and time of each weight file."""


def with_safetensors(folder: Path) -> Path:
    """Return the same model as safetensors, in `<folder>-safetensors` next to it; converts it on first use.

    Raises:
        ModelError: a weight file is damaged or contains code, or the converted folder cannot be written.
    """
    folder = folder.resolve()
    target, stamp = folder.with_name(f"{folder.name}-safetensors"), _stamp(folder)
    if _is_made(target, stamp):
        return target
    try:
        with _held(folder) as alone:
            if alone:
                _remove_unfinished(target)
            if not _is_made(target, stamp):  # unless another process was faster
                _make(folder, target, stamp)
    except OSError as error:
        if _is_made(target, stamp):
            return target
        raise ModelError(
            f"The weights in {folder} are .bin files, to be converted to safetensors once, and {target} cannot be "
            f"written: {error.strerror or error}. Copy the model to where you may write, or convert it elsewhere."
        ) from error
    return target


def read_pickle(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file written by `torch.save`, by name, without executing code of the file.

    Raises:
        ModelError: it is damaged, contains code, or anything but tensors.
    """
    cure = "Get it from where you trust it, or ask for its safetensors."
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(item.file_size for item in archive.infolist())
        if unpacked > path.stat().st_size:
            raise ModelError(f"{path} grows from {path.stat().st_size} to {unpacked} bytes and is refused. {cure}")
        values = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (ModelError, OSError):
        raise
    except Exception as error:  # of the pickle, of the archive, of torch: whatever a damaged file causes
        why = next((line.strip() for line in str(error).splitlines() if "GLOBAL" in line), "")
        why = why or next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"{path} is not a plain weight file and is rejected: {why[:200]} {cure}") from error
    if isinstance(values, dict) and set(values) == {"state_dict"}:
        values = values["state_dict"]
    if not isinstance(values, dict) or not all(isinstance(value, Tensor) for value in values.values()):
        raise ModelError(f"{path} holds other things than tensors by name. {cure}")
    for name, tensor in values.items():
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes() or not isinstance(name, str):
            raise ModelError(f"{path} says more of {name!r:.80} than it holds, and is refused. {cure}")
    return values


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Lock the conversion of a folder against other processes; yields False where folders cannot be locked."""
    handle = None
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        alone = True
    except (ImportError, OSError):  # not on Windows, nor on every network file system
        alone = False
    try:
        yield alone
    finally:
        if handle is not None:
            os.close(handle)


def _remove_unfinished(target: Path) -> None:
    """Remove partial results of killed conversions to `target`."""
    named = re.compile(rf"{re.escape(UNFINISHED)}[^-]+-{re.escape(target.name)}")
    for path in target.parent.iterdir():
        if named.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _make(folder: Path, target: Path, stamp: object) -> None:
    """Convert into a temporary folder next to `target`, then rename it."""
    temporary = Path(tempfile.mkdtemp(prefix=UNFINISHED, suffix=f"-{target.name}", dir=folder.parent))
    try:
        _write(folder, temporary, stamp)
        if _read_stamp(target) is not None:
            shutil.rmtree(target)  # converted from weights that have changed since
        temporary.chmod(0o755)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(folder: Path, target: Path, stamp: object) -> None:
    """Fill `target`: settings are copied, safetensors linked or copied, pickles converted."""
    patterns = configs_of(parts_in(folder))
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}):
        if ".bin.index" not in path.name:
            _copy(path, target / path.relative_to(folder))
    for part in parts_in(folder):
        ready = weights_in(folder / part)
        for path in ready:
            if path.parent == folder / part:  # what is shared stays where it is, beside the result, too
                _link(path, target / part / path.name)
        if not ready:
            pickles = weights_in(folder / part, "bin")
            tensors = {name: tensor for path in pickles for name, tensor in read_pickle(path).items()}
            base = "model" if pickles[0].name.startswith("pytorch_model") else "diffusion_pytorch_model"
            _save(tensors, target / part / f"{base}.safetensors")
    write_text(target / STAMP, json.dumps(stamp, indent=2))


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors, which do not support tensors that share memory."""
    seen: set[int] = set()
    own = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        own[name] = tensor.clone().contiguous() if place in seen else tensor.contiguous()
        seen.add(place)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, lambda temporary: save_file(own, temporary, metadata={"format": "pt"}))


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(path, target)


def _link(path: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    try:
        os.link(path.resolve(), target)
    except OSError:  # on another disk, or a file system without links
        shutil.copyfile(path, target)


def _stamp(folder: Path) -> dict[str, list[int]]:
    files = [path for part in parts_in(folder) for path in weights_in(folder / part, "bin")]
    facts = {path: path.stat() for path in files}
    return {f"{path.parent.name}/{path.name}": [fact.st_size, fact.st_mtime_ns] for path, fact in facts.items()}


def _is_made(target: Path, stamp: object) -> bool:
    return target.is_dir() and _read_stamp(target) == stamp


def _read_stamp(target: Path) -> object:
    try:
        return json.loads((target / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
