"""Resolves model names on this machine, without network: aliases, folders, the local cache. Imports no torch.

`bozzetto.weights.download` fetches what a plan locates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bozzetto.errors import ModelError, did_you_mean
from bozzetto.files import sha256_of
from bozzetto.model_files import ModelFacts, ModelJudge, ModelReader, facts_of, weight_files
from bozzetto.recipe import Component
from bozzetto.spec import REPOSITORY, ModelEntry
from bozzetto.weights.catalogue import Catalogue, faults_of
from bozzetto.weights.conversion import is_made, stamp_of
from bozzetto.weights.faults import check_folder, check_header
from bozzetto.weights.folder import INDEXES, missing_parts, parts_in

Origin = Literal["bundled", "folder", "file", "cached", "download"]

SINGLE_FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
"""Suffixes of single-file checkpoints."""

_SINGLE_FILE = (
    "{path} is there, but it is one file, and a folder in diffusers' format is needed. Make one with Python:\n"
    "  from diffusers import StableDiffusionPipeline\n"
    "  StableDiffusionPipeline.from_single_file({path!r}).save_pretrained({folder!r})\n"
    "then give model={folder}. For a Zero123 use tools/convert_zero123.py."
)
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
    cures: str = ""
    """Lines on the alternatives, for errors."""
    converter: str = ""
    """Command that makes the folder of what `repositories` hold; empty: it is downloaded as it is."""
    kept: int | None = None
    """Bytes of `size_bytes` that stay in memory once texts are encoded; None: unknown."""
    file: Path | None = None
    """Single file that `folder` is converted from; None: there is none."""
    reader: ModelJudge | None = None
    """Config that judges the model before it is downloaded, and reads it if it is a single file."""

    def require(self, facts: ModelFacts) -> None:
        """Raise `ModelError` if the component cannot use the model of these facts."""
        if self.reader is not None:
            self.reader.family_of(facts)

    @property
    def revision(self) -> str | None:
        """Pinned revision of the first repository, if any."""
        return split_revision(self.repositories[0])[1] if self.repositories else None

    @property
    def kept_bytes(self) -> int:
        """Bytes of the half-precision weights that stay in memory during training; 0 if unknown.

        As recorded, or else of the folder's files without text encoders, which are freed before the first step.
        """
        if self.kept is not None or self.size_bytes is not None or self.folder is None:
            return self.kept or self.size_bytes or 0
        parts = [part for part in parts_in(self.folder) if not part.startswith("text_encoder")]
        files = [path for part in parts for path in weight_files(self.folder / part).values()]
        return sum(path.stat().st_size for path in files if path.suffix == ".safetensors")

    def describe(self) -> str:
        """Describe the plan in one line."""
        if self.converter and self.source == "download":
            size = f", {self.size_bytes / 1e9:.1f} GB" if self.size_bytes else ""
            where = (
                f"one file of {self.repositories[0]}, to be converted: {self.converter}; the folder after conversion"
                f"{size}; memory: {self.memory}"
            )
        elif self.source == "download":
            size = f", {self.size_bytes / 1e9:.1f} GB" if self.size_bytes else ""
            where = f"download from {self.repositories[0]}{size}; memory: {self.memory}"
        elif self.file is not None:
            done = "converted" if self.folder else "to be converted once"
            where = f"file, {self.file}, {done} to {target_of(self.file)}"
        else:
            where = f"bundled, {self.folder}" if self.source == "bundled" else f"{self.source}, {self.folder}"
        return f"{self.name} ({where}; licence: {self.licence})"

    def facts(self, folder: Path) -> dict[str, str]:
        """Return the facts that identify the weights of a run: name, folder, and a digest of each file."""
        facts = {"name": self.name, "source": self.source, "folder": str(folder)}
        if self.file is not None:
            facts |= {"file": str(self.file), "file_sha256": _digest(self.file)}
        for part in parts_in(folder):
            for name, path in weight_files(folder / part).items():
                if name.endswith(".safetensors"):
                    facts[f"{part}/{name}".removeprefix("/")] = _digest(path)
        return facts


def plan(
    name: str, catalogue: Catalogue, offline: bool = False, instead: str = "", reader: ModelJudge | None = None
) -> ModelPlan:
    """Resolve a model name on this machine, without network access.

    Args:
        name: an alias of the catalogue, a folder in diffusers' format, a single file that `reader` reads, or a hub
            repository `owner/name[@revision]`.
        offline: whether downloads are disabled.
        instead: what to do without the model, for errors; by default to choose a bundled one for a guidance.
        reader: config of the component that will load the model, if it judges models, or reads single files.

    Raises:
        ModelError: of a kind that the component cannot use, unknown, ambiguous, withdrawn, incomplete, or not available
            offline.
    """
    entry = catalogue.find(name)
    if entry is not None and entry.spec.folder is not None:
        return replace(_bundled(name, entry, entry.spec.folder), reader=reader)
    if entry is not None:
        spec = entry.spec
        size = None if spec.size_gb is None else int(spec.size_gb * 1e9)
        kept = None if spec.kept_gb is None else int(spec.kept_gb * 1e9)
        found = ModelPlan(name, "download", None, spec.repositories, size, spec.licence, spec.memory, spec.note)
        found = replace(found, reader=reader, converter=spec.converter, kept=kept)
        return _hub(found, spec.withdrawn, catalogue, offline, instead)
    if (here := _here(name, reader)) is not None:
        return here
    if not REPOSITORY.fullmatch(name):
        known = catalogue.names
        raise ModelError(
            f"There is no model {name!r}.{did_you_mean(name, known)} Give one of {', '.join(known)}, a hub repository "
            f"owner/name, or a folder that exists."
        )
    listed = catalogue.find(catalogue.name_of_repository(name))
    converter = "" if listed is None else listed.spec.converter
    found = ModelPlan(name, "download", None, (name,), reader=reader, converter=converter)
    return _hub(found, (), catalogue, offline, instead)


def further_models(part: Component) -> tuple[str, ...]:
    """Return the names of the weights that a component requires beside `model`, e.g. of ControlNets."""
    found: tuple[str, ...] = getattr(part.config, "further_models", ())
    return found


def judge_of_further(part: Component, base: Path | None) -> ModelJudge | None:
    """Return what judges the further models of a component before they are downloaded; None: nothing does.

    Args:
        base: folder of the component's `model`; None: it is not on this machine yet.
    """
    make = getattr(part.config, "further_judge", None)
    found: ModelJudge | None = None if make is None else make(base)
    return found


def split_revision(repository: str) -> tuple[str, str | None]:
    """Split `owner/name@revision`."""
    repo_id, _, revision = repository.partition("@")
    return repo_id, revision or None


def target_of(file: Path) -> Path:
    """Return the folder that a single file is converted into."""
    return file.with_name(f"{file.stem}-diffusers")


def _here(name: str, reader: ModelJudge | None) -> ModelPlan | None:
    """Resolve `name` as a local folder or file; None if it may have another meaning.

    Raises:
        ModelError: it is a path without a complete model that the component can use.
    """
    try:
        path = Path(name).expanduser()
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long, not permitted, or an unknown home folder
        raise ModelError(f"There is no model {name!r:.200}: {error}.") from error
    if is_folder:
        if reader is not None and any((path / one).is_file() for one in INDEXES):
            reader.family_of(facts_of(name, path))
        lacking = missing_parts(path)
        if lacking:
            raise ModelError(f"The folder {path} is not a whole model in diffusers' format: {'; '.join(lacking)}.")
        check_folder(path)
        return ModelPlan(name, "folder", path, reader=reader)
    if is_file and isinstance(reader, ModelReader) and path.suffix in SINGLE_FILES:
        return _file(name, path.absolute(), reader)
    if is_file:
        raise ModelError(_SINGLE_FILE.format(path=str(path), folder=f"{path.with_suffix('')}-diffusers"))
    if path.suffix in SINGLE_FILES or path.is_absolute() or name.startswith(("~", "./", "../")) or "\\" in name:
        there = "; it is a broken link" if path.is_symlink() else ""
        raise ModelError(f"There is no model {name!r}: nothing exists at {path.absolute()}{there}.")
    return None


def _file(name: str, path: Path, reader: ModelReader) -> ModelPlan:
    """Return the plan of a single file; of a pickle, nothing is known before it is converted."""
    if path.suffix == ".gguf":
        raise ModelError(f"{path} holds quantised weights (GGUF), which have no gradients here. Give its .safetensors.")
    if path.suffix == ".safetensors":
        reader.family_of(ModelFacts(name, tensors=check_header(path)))
    target = target_of(path)
    made = target if is_made(target, stamp_of(path)) else None
    return ModelPlan(name, "file", made, size_bytes=path.stat().st_size, file=path, reader=reader)


def _bundled(name: str, entry: ModelEntry, folder: Path) -> ModelPlan:
    """Return the plan of a model that a distribution ships in a folder."""
    spec = entry.spec
    if lacking := faults_of(entry, deep=True):
        raise ModelError(
            f"The bundled model {name!r} in {folder} is not whole: {'; '.join(lacking)}. Install {entry.dist} again, "
            f"e.g. with 'pip install --force-reinstall .' in its project folder."
        )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return ModelPlan(name, "bundled", folder, (), size, spec.licence, spec.memory, spec.note)


def _hub(found: ModelPlan, withdrawn: tuple[str, ...], catalogue: Catalogue, offline: bool, instead: str) -> ModelPlan:
    """Return the plan of a model on the hub: its local copy if there is one, else the download."""
    for repository in (*found.repositories, *withdrawn):
        folder = _cached(repository)
        if folder is not None:
            found.require(facts_of(found.name, folder))
            return replace(found, source="cached", folder=folder)
    for entry in catalogue:
        if found.name in entry.spec.withdrawn:
            alias = catalogue.name_of(entry)
            raise ModelError(f"{found.name} was withdrawn by its owner. The same weights are called {alias!r} here.")
    found = replace(found, cures=_cures(found, catalogue, instead))
    if offline:
        raise ModelError(f"The model {found.name!r} is not here and HF_HUB_OFFLINE forbids downloads.{found.cures}")
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


def _cures(plan: ModelPlan, catalogue: Catalogue, instead: str) -> str:
    """Describe the alternatives."""
    repo_id, revision = split_revision(plan.repositories[0])
    at = f" --revision {revision}" if revision else ""
    near = "" if catalogue.find(plan.name) else did_you_mean(plan.name, catalogue.names)
    bundled = [catalogue.name_of(entry) for entry in catalogue if entry.spec.folder is not None]
    if not instead and bundled:
        instead = f"choose a bundled model: system.tasks.TASK.guidance.model={' or '.join(bundled)}"
    by_hand = f"download by hand: hf download {repo_id}{at} --local-dir FOLDER, then give model=FOLDER"
    if plan.converter:
        by_hand = f"convert its file, from huggingface.co/{repo_id}: {plan.converter}, then give that folder as model"
    choices = [
        *([instead] if instead else []),
        by_hand,
        "name another repository owner/name, or a folder in diffusers' format.",
    ]
    return f"{near}\nEither " + "\nor ".join(choices)


def _digest(path: Path) -> str:
    """Return the sha256 of a file; files in the hub's cache are named by it."""
    name = path.resolve().name
    return name if _DIGEST.fullmatch(name) else sha256_of(path)
