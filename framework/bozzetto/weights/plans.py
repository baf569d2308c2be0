"""Resolves model names to weights: aliases, mirrors, folders, the local cache. Imports no torch.

`plan` works without the network; `fetch` downloads according to the plan.
"""

from __future__ import annotations

import functools
import importlib.resources
import importlib.util
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from bozzetto.errors import ModelError, did_you_mean
from bozzetto.files import sha256_of
from bozzetto.model_files import weight_files
from bozzetto.weights.faults import check_folder
from bozzetto.weights.folder import files_wanted, missing_parts, parts_in, pickled_parts

Origin = Literal["bundled", "folder", "cached", "download"]

TIMEOUT_S = 10.0
"""Timeout in seconds of one hub request before the next mirror is tried."""

SINGLE_FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
"""Suffixes of single-file checkpoints."""

_SINGLE_FILE = (
    "{path} is there, but it is one file, and a folder in diffusers' format is needed. Make one with Python:\n"
    "  from diffusers import StableDiffusionPipeline\n"
    "  StableDiffusionPipeline.from_single_file({path!r}).save_pretrained({folder!r})\n"
    "then give model={folder}. For a Zero123 use tools/convert_zero123.py."
)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ModelPlan:
    """Location of the weights of a model, or the repositories to download them from."""

    name: str
    """Name as given in the recipe."""
    source: Origin
    folder: Path | None
    """Local folder; None for a download."""
    repositories: tuple[str, ...] = ()
    """`owner/name` or `owner/name@revision`, in the order they are tried."""
    size_bytes: int | None = None
    """Approximate size of the half-precision weights in bytes; None: unknown."""
    licence: str = "not recorded, ask its owner"
    memory: str = "unknown"
    note: str = ""

    @property
    def revision(self) -> str | None:
        """Pinned revision of the first repository, if any."""
        return split_revision(self.repositories[0])[1] if self.repositories else None

    def describe(self) -> str:
        """Describe the plan in one line."""
        if self.source == "download":
            size = f", {self.size_bytes / 1e9:.1f} GB" if self.size_bytes else ""
            where = f"download from {self.repositories[0]}{size}; memory: {self.memory}"
        else:
            where = f"bundled, {self.folder}" if self.source == "bundled" else f"{self.source}, {self.folder}"
        return f"{self.name} ({where}; licence: {self.licence})"

    def facts(self, folder: Path) -> dict[str, str]:
        """Return the facts that identify the weights of a run: name, folder, and a digest of each file."""
        facts = {"name": self.name, "source": self.source, "folder": str(folder)}
        for part in parts_in(folder):
            for name, path in weight_files(folder / part).items():
                if name.endswith(".safetensors"):
                    facts[f"{part}/{name}"] = _digest(path)
        return facts


@functools.cache
def aliases() -> Mapping[str, Mapping[str, Any]]:
    """Return the model catalogue by alias."""
    text = importlib.resources.files("bozzetto.weights").joinpath("models.yaml").read_text(encoding="utf-8")
    return types.MappingProxyType(yaml.safe_load(text))


def plan(name: str, offline: bool = False) -> ModelPlan:
    """Resolve a model name on this machine, without network access.

    Args:
        name: an alias, a folder in diffusers' format, or a hub repository `owner/name[@revision]`.
        offline: whether downloads are disabled.

    Raises:
        ModelError: unknown, withdrawn, incomplete, or not available offline.
    """
    catalogue = aliases()
    if name in catalogue:
        entry = catalogue[name]
        if "bundled" in entry:
            return _bundled(name, entry)
        return _hub(name, entry, offline)
    found = _here(name)
    if found is not None:
        return found
    if not _REPOSITORY.fullmatch(name):
        known = ", ".join(catalogue)
        raise ModelError(
            f"There is no model {name!r}.{did_you_mean(name, catalogue)} Give one of {known}, a hub repository "
            f"owner/name, or a folder that exists."
        )
    return _hub(name, {"repositories": [name]}, offline)


def fetch(plan: ModelPlan) -> Path:
    """Return the folder of the weights as safetensors; downloads them if needed, in half precision where available.

    Pickled weights are converted (see `bozzetto.weights.pickled`).

    Raises:
        ModelError: no repository provided the model; the message gives each reason and the cure. Or it is damaged.
    """
    if plan.folder is not None:
        return _readable(plan.folder)
    reasons = []
    for repository in plan.repositories:
        try:
            return _readable(_download(repository))
        except Exception as error:  # of the hub's HTTP library, depending on its version; all are listed below
            reasons.append(f"  {repository}: {_one_line(error)}")
    raise ModelError(f"The model {plan.name!r} cannot be downloaded. Tried:\n" + "\n".join(reasons) + _cures(plan))


def _readable(folder: Path) -> Path:
    if not pickled_parts(folder):
        return folder
    from bozzetto.weights.pickled import with_safetensors

    return with_safetensors(folder)


def split_revision(repository: str) -> tuple[str, str | None]:
    """Split `owner/name@revision`."""
    repo_id, _, revision = repository.partition("@")
    return repo_id, revision or None


def _here(name: str) -> ModelPlan | None:
    """Resolve `name` as a local folder; None if it may have another meaning.

    Raises:
        ModelError: it is a path without a complete model in diffusers' format.
    """
    try:
        path = Path(name).expanduser()
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long, not permitted, or an unknown home folder
        raise ModelError(f"There is no model {name!r:.200}: {error}.") from error
    if is_folder:
        lacking = missing_parts(path)
        if lacking:
            raise ModelError(f"The folder {path} is not a whole model in diffusers' format: {'; '.join(lacking)}.")
        check_folder(path)
        return ModelPlan(name, "folder", path)
    if is_file:
        raise ModelError(_SINGLE_FILE.format(path=str(path), folder=f"{path.with_suffix('')}-diffusers"))
    if path.suffix in SINGLE_FILES or path.is_absolute() or name.startswith(("~", "./", "../")) or "\\" in name:
        there = "; it is a broken link" if path.is_symlink() else ""
        raise ModelError(f"There is no model {name!r}: nothing exists at {path.absolute()}{there}.")
    return None


def _bundled(name: str, entry: Mapping[str, Any]) -> ModelPlan:
    spec = importlib.util.find_spec("bozzetto_plugins")
    roots = [Path(root) for root in (spec.submodule_search_locations or ())] if spec else []
    for root in roots:
        folder = root / entry["bundled"]
        if not missing_parts(folder):
            check_folder(folder)
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            return ModelPlan(name, "bundled", folder, (), size, entry["licence"], entry["memory"], entry["note"])
    looked = " or ".join(str(root / entry["bundled"]) for root in roots) or "the package bozzetto_plugins"
    raise ModelError(
        f"The bundled model {name!r} is not in {looked}: this installation is incomplete. "
        f"Install it again with 'pip install --force-reinstall .' in the project folder."
    )


def _hub(name: str, entry: Mapping[str, Any], offline: bool) -> ModelPlan:
    repositories = tuple(entry["repositories"])
    size = int(entry["size_gb"] * 1e9) if "size_gb" in entry else None
    details = {key: entry[key] for key in ("licence", "memory", "note") if key in entry}
    for repository in (*repositories, *entry.get("withdrawn", ())):
        folder = _cached(repository)
        if folder is not None:
            return ModelPlan(name, "cached", folder, repositories, size, **details)
    for alias, other in aliases().items():
        if name in other.get("withdrawn", ()):
            raise ModelError(f"{name} was withdrawn by its owner. The same weights are called {alias!r} here.")
    found = ModelPlan(name, "download", None, repositories, size, **details)
    if offline:
        raise ModelError(f"The model {name!r} is not here and HF_HUB_OFFLINE forbids downloads.{_cures(found)}")
    return found


def _cached(repository: str) -> Path | None:
    """Return the snapshot in the hub's local cache; None unless it is complete."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    repo_id, revision = split_revision(repository)
    try:
        folder = Path(
            snapshot_download(repo_id, revision=revision, local_files_only=True, allow_patterns="model_index.json")
        )
    except (LocalEntryNotFoundError, ValueError):
        return None
    if missing_parts(folder):
        return None
    try:
        check_folder(folder)
    except ModelError as error:
        raise ModelError(f"{error} Delete {folder}, and the model is downloaded anew.") from error
    return folder


def _download(repository: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    repo_id, revision = split_revision(repository)
    info = HfApi().model_info(repo_id, revision=revision, timeout=TIMEOUT_S)
    patterns = files_wanted([item.rfilename for item in info.siblings or ()])
    folder = Path(snapshot_download(repo_id, revision=revision, allow_patterns=patterns, etag_timeout=TIMEOUT_S))
    lacking = missing_parts(folder)
    if lacking:
        raise ModelError("; ".join(lacking))
    check_folder(folder)
    return folder


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__


def _cures(plan: ModelPlan) -> str:
    """Describe the alternatives."""
    repo_id, revision = split_revision(plan.repositories[0])
    at = f" --revision {revision}" if revision else ""
    near = did_you_mean(plan.name, aliases()) if plan.name not in aliases() else ""
    return (
        f"{near}\nEither choose the bundled model: system.tasks.TASK.guidance.model=bozzetto-mini"
        f"\nor download by hand: hf download {repo_id}{at} --local-dir FOLDER, then give model=FOLDER"
        f"\nor name another repository owner/name, or a folder in diffusers' format."
    )


def _digest(path: Path) -> str:
    """Return the sha256 of a file; files in the hub's cache are named by it."""
    name = path.resolve().name
    return name if _DIGEST.fullmatch(name) else sha256_of(path)
