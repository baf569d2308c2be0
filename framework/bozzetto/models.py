"""Where the weights of a model come from: names, mirrors, folders, the local cache. Imports no torch.

`plan` looks without the network; `fetch` downloads what the plan says.
"""

from __future__ import annotations

import functools
import importlib.resources
import importlib.util
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from bozzetto.errors import ModelError, did_you_mean
from bozzetto.files import sha256_of

Origin = Literal["bundled", "folder", "cached", "download"]

PARTS = ("unet", "vae", "text_encoder")
"""The folders of a text-to-image model that hold weights."""
POSED_PARTS = ("unet", "vae", "image_encoder")
"""The folders of a model that is given an image and a pose (Zero123), besides one of `PROJECTIONS`."""
PROJECTIONS = ("clip_camera_projection", "cc_projection")
"""What the two layouts of such models call the layer that joins image and pose."""
CONFIGS = ("*.json", "*/*.json", "tokenizer/*")
"""Everything else that is read."""
TIMEOUT_S = 10.0
"""How long one request to the hub may take before the next mirror is tried."""

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
        for part in parts_of(_names(folder)):
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
    path = Path(name).expanduser()
    if path.is_dir():
        lacking = missing_parts(path)
        if lacking:
            raise ModelError(f"The folder {path} is not a whole model in diffusers' format: {'; '.join(lacking)}.")
        return ModelPlan(name, "folder", path)
    if not _REPOSITORY.fullmatch(name) or name.startswith(("./", "../")):
        known = ", ".join(catalogue)
        raise ModelError(
            f"There is no model {name!r}.{did_you_mean(name, catalogue)} Give one of {known}, a hub repository "
            f"owner/name, or a folder that exists."
        )
    return _hub(name, {"repositories": [name]}, offline)


def fetch(plan: ModelPlan) -> Path:
    """The folder with the weights, downloaded if need be: half precision where there is a choice, safetensors only.

    Raises:
        ModelError: no repository gave the model; says why each did not, and what to do instead.
    """
    if plan.folder is not None:
        return plan.folder
    reasons = []
    for repository in plan.repositories:
        try:
            return _download(repository)
        except Exception as error:  # of the hub's HTTP library, which changes with its version; all are shown below
            reasons.append(f"  {repository}: {_one_line(error)}")
    raise ModelError(f"The model {plan.name!r} cannot be downloaded. Tried:\n" + "\n".join(reasons) + _cures(plan))


def split_revision(repository: str) -> tuple[str, str | None]:
    """`owner/name@revision` in two."""
    repo_id, _, revision = repository.partition("@")
    return repo_id, revision or None


def parts_of(names: Iterable[str]) -> tuple[str, ...]:
    """The folders that must hold weights, given those that are there."""
    projections = sorted(set(names) & set(PROJECTIONS))
    return (*POSED_PARTS, projections[0]) if projections else PARTS


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def missing_parts(folder: Path) -> list[str]:
    """What a model folder lacks, in words; empty if it is whole."""
    lacking = [] if (folder / "model_index.json").is_file() else ["model_index.json is missing"]
    parts = parts_of(_names(folder))
    for part in parts:
        if not (folder / part / "config.json").is_file():
            lacking.append(f"{part}/config.json is missing")
        elif not any((folder / part).glob("*.safetensors")):
            lacking.append(f"{part} has no .safetensors weights")
    for part in ("scheduler", *(("tokenizer",) if parts == PARTS else ())):
        if not any((folder / part).glob("*.json")):
            lacking.append(f"{part} is missing or empty")
    return lacking


def files_wanted(files: Sequence[str]) -> list[str]:
    """Of a repository's files those to download: for each part its fp16 safetensors if it has them, else the full ones.

    Raises:
        ModelError: a part has no safetensors weights.
    """
    wanted = list(CONFIGS)
    for part in parts_of(f.partition("/")[0] for f in files):
        weights = [f for f in files if f.startswith(f"{part}/") and f.endswith(".safetensors")]
        half = [f for f in weights if ".fp16." in f]
        full = [f for f in weights if re.fullmatch(r"[\w-]+", Path(f).stem)]
        if not half and not full:
            raise ModelError(f"{part} has no .safetensors weights")
        wanted += half or full
    return wanted


def _bundled(name: str, entry: Mapping[str, Any]) -> ModelPlan:
    spec = importlib.util.find_spec("bozzetto_plugins")
    roots = [Path(root) for root in (spec.submodule_search_locations or ())] if spec else []
    for root in roots:
        folder = root / entry["bundled"]
        if not missing_parts(folder):
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
    return None if missing_parts(folder) else folder


def _download(repository: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    repo_id, revision = split_revision(repository)
    info = HfApi().model_info(repo_id, revision=revision, timeout=TIMEOUT_S)
    patterns = files_wanted([item.rfilename for item in info.siblings or ()])
    folder = Path(snapshot_download(repo_id, revision=revision, allow_patterns=patterns, etag_timeout=TIMEOUT_S))
    lacking = missing_parts(folder)
    if lacking:
        raise ModelError("; ".join(lacking))
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
