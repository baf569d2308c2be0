"""Converts model folders with pickled weights (`.bin`) to safetensors, once. Imports torch."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bozzetto.errors import ModelError
from bozzetto.files import write_atomically
from bozzetto.weights.conversion import converted_once
from bozzetto.weights.faults import check_header
from bozzetto.weights.folder import configs_of, parts_in, weights_in


def with_safetensors(folder: Path) -> Path:
    """Return the same model as safetensors, in `<folder>-safetensors` next to it; converts it on first use.

    Raises:
        ModelError: a weight file is damaged or contains code, or the converted folder cannot be written.
    """
    folder = folder.resolve()
    target = folder.with_name(f"{folder.name}-safetensors")
    return converted_once(folder, target, _stamp(folder), lambda made: _write(folder, made), ".bin files")


def read_single_file(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a model in one file, by name: safetensors, or a pickle as in `read_pickle`.

    Raises:
        ModelError: it is damaged, or a pickle that is refused.
    """
    if path.suffix != ".safetensors":
        return read_pickle(path)
    check_header(path)
    return load_file(path)


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
    if isinstance(values, dict) and isinstance(values.get("state_dict"), dict):
        values = values["state_dict"]  # beside it are the state of a training, e.g. its step
    if not isinstance(values, dict) or not all(isinstance(value, Tensor) for value in values.values()):
        raise ModelError(f"{path} holds other things than tensors by name. {cure}")
    for name, tensor in values.items():
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes() or not isinstance(name, str):
            raise ModelError(f"{path} says more of {name!r:.80} than it holds, and is refused. {cure}")
    return values


def _write(folder: Path, target: Path) -> None:
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
            save_tensors(tensors, target / part / f"{base}.safetensors")


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors, which do not support tensors that share memory."""
    seen: set[int] = set()
    own = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        own[name] = tensor.clone().contiguous() if place in seen else tensor.contiguous()
        seen.add(place)
    path.parent.mkdir(parents=True, exist_ok=True)
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
