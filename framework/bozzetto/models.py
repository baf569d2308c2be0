"""Where the weights of a model come from: names, mirrors, folders, the local cache. Imports no torch.

`plan` looks without the network; `fetch` downloads what the plan says.
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
from bozzetto.model_faults import check_folder
from bozzetto.model_folder import files_wanted, missing_parts, parts_in, pickled_parts

Origin = Literal["bundled", "folder", "cached", "download"]

TIMEOUT_S = 10.0
"""How long one request to the hub may take before the next mirror is tried."""

SINGLE_FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
"""Suffixes of whole models in one file."""

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
    """Where the weights of one model are, or would come from."""

    name: str
    """As the recipe writes it."""
    source: Origin
    folder: Path | None
    """None for a download."""
    repositories: tuple[str, ...] = ()
    """`owner/name` or `owner/name@revision`, in the order they are tried."""
    size_bytes: int | None = None
    """Of the half-precision weights, roughly; None: unknown."""
    licence: str = "not recorded, ask its owner"
    memory: str = "unknown"
    note: str = ""

    @property
    def revision(self) -> str | None:
        """The pinned revision of the first repository, if any."""
        return split_revision(self.repositories[0])[1] if self.repositories else None

    def describe(self) -> str:
        """One line for people."""
        if self.source == "download":
            size = f", {self.size_bytes / 1e9:.1f} GB" if self.size_bytes else ""
            where = f"download from {self.repositories[0]}{size}; memory: {self.memory}"
        else:
            where = f"bundled, {self.folder}" if self.source == "bundled" else f"{self.source}, {self.folder}"
        return f"{self.name} ({where}; licence: {self.licence})"

    def facts(self, folder: Path) -> dict[str, str]:
        """What a run records to say exactly which weights it used: the name, the folder, a digest of each part."""
        facts = {"name": self.name, "source": self.source, "folder": str(folder)}
        for part in parts_in(folder):
            for path in sorted((folder / part).glob("*.safetensors")):
                facts[f"{part}/{path.name}"] = _digest(path)
        return facts


@functools.cache
def aliases() -> Mapping[str, Mapping[str, Any]]:
    """The catalogue, by alias."""
    text = importlib.resources.files("bozzetto").joinpath("models.yaml").read_text(encoding="utf-8")
    return types.MappingProxyType(yaml.safe_load(text))


def plan(name: str, offline: bool = False) -> ModelPlan:
    """Where `name` would come from. Looks at this machine alone, never at the network.

    Args:
        name: an alias, a folder in diffusers' format, or a hub repository `owner/name[@revision]`.
        offline: downloads are forbidden.

    Raises:
        ModelError: unknown, withdrawn, incomplete, or not here while offline.
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
    """The folder with the weights as safetensors: downloaded if need be, half precision where there is a choice;
    converted if they are pickles (see `bozzetto.pickled_weights`).

    Raises:
        ModelError: no repository gave the model; says why each did not, and what to do instead. Or it is damaged.
    """
    if plan.folder is not None:
        return _readable(plan.folder)
    reasons = []
    for repository in plan.repositories:
        try:
            return _readable(_download(repository))
        except Exception as error:  # of the hub's HTTP library, which changes with its version; all are shown below
            reasons.append(f"  {repository}: {_one_line(error)}")
    raise ModelError(f"The model {plan.name!r} cannot be downloaded. Tried:\n" + "\n".join(reasons) + _cures(plan))


def _readable(folder: Path) -> Path:
    if not pickled_parts(folder):
        return folder
    from bozzetto.pickled_weights import with_safetensors

    return with_safetensors(folder)


def split_revision(repository: str) -> tuple[str, str | None]:
    """`owner/name@revision` in two."""
    repo_id, _, revision = repository.partition("@")
    return repo_id, revision or None


def _here(name: str) -> ModelPlan | None:
    """The folder that `name` is the path of; None if it may mean something else.

    Raises:
        ModelError: it is a path, and there is no whole model in diffusers' format.
    """
    try:
        path = Path(name).expanduser()
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long, not allowed, a home folder that nobody has
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
        there = "; it is a link that leads nowhere" if path.is_symlink() else ""
        raise ModelError(f"There is no model {name!r}: nothing lies at {path.absolute()}{there}.")
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
    """The snapshot in the hub's local cache, if it is whole."""
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
    """What a person can do instead."""
    repo_id, revision = split_revision(plan.repositories[0])
    at = f" --revision {revision}" if revision else ""
    near = did_you_mean(plan.name, aliases()) if plan.name not in aliases() else ""
    return (
        f"{near}\nEither choose the bundled model: system.tasks.TASK.guidance.model=bozzetto-mini"
        f"\nor download by hand: hf download {repo_id}{at} --local-dir FOLDER, then give model=FOLDER"
        f"\nor name another repository owner/name, or a folder in diffusers' format."
    )


def _digest(path: Path) -> str:
    """sha256 of a file; in the hub's cache the file it links to is named by it."""
    name = path.resolve().name
    return name if _DIGEST.fullmatch(name) else sha256_of(path)
