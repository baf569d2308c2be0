"""Fetches the weights that a plan locates: downloads from the hub, converts pickles. Imports torch only for pickles."""

from __future__ import annotations

from pathlib import Path

from bozzetto.errors import ModelError
from bozzetto.model_files import ModelReader, facts_of
from bozzetto.weights.conversion import converted_once, stamp_of
from bozzetto.weights.faults import check_folder
from bozzetto.weights.folder import INDEXES, files_wanted, missing_parts, pickled_parts
from bozzetto.weights.plans import ModelPlan, split_revision, target_of

SETTINGS = [*INDEXES, "*/config.json", "*/scheduler_config.json"]
"""Files that say what a model is, a few kilobytes: they are downloaded and judged before its weights."""
GATED = (
    "its owner asks for consent. Accept the terms on its page at huggingface.co, make a token "
    "of kind 'read' in your settings there, and give it to: hf auth login"
)
TIMEOUT_S = 10.0
"""Timeout in seconds of one hub request before the next mirror is tried."""


class NotForThisError(ModelError):
    """Model of a kind that the component cannot use, wherever it is downloaded from."""


def fetch(plan: ModelPlan) -> Path:
    """Return the folder of the weights as safetensors; downloads them if needed, in half precision where available.

    Pickled weights are converted (see `bozzetto.weights.pickled`).

    Raises:
        ModelError: no repository provided the model; the message gives each reason and the cure. Or it is damaged.
    """
    if plan.folder is not None:
        return _readable(plan.folder)
    if plan.file is not None:
        return _converted(plan, plan.file)
    if plan.converter:
        raise ModelError(
            f"The model {plan.name!r} cannot be downloaded as it is: {plan.repositories[0]} holds one file of another "
            f"layout.{plan.cures}"
        )
    reasons = []
    for repository in plan.repositories:
        try:
            return _readable(_download(repository, plan))
        except NotForThisError as error:
            raise ModelError(str(error)) from error
        except Exception as error:  # of the hub's HTTP library, depending on its version; all are listed below
            reasons.append(f"  {repository}: {_one_line(error)}")
    raise ModelError(f"The model {plan.name!r} cannot be downloaded. Tried:\n" + "\n".join(reasons) + plan.cures)


def _readable(folder: Path) -> Path:
    if not pickled_parts(folder):
        return folder
    from bozzetto.weights.pickled import with_safetensors

    return with_safetensors(folder)


def _converted(plan: ModelPlan, file: Path) -> Path:
    """Return the folder that a single file is converted into, by the component that reads it."""
    from bozzetto.weights.pickled import read_single_file

    reader = plan.reader
    assert isinstance(reader, ModelReader)  # as planned

    def write(folder: Path) -> None:
        reader.write_model_folder(file, read_single_file(file), folder)

    return converted_once(file, target_of(file), stamp_of(file), write, "in one file")


def _download(repository: str, plan: ModelPlan) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    repo_id, revision = split_revision(repository)
    info = HfApi().model_info(repo_id, revision=revision, timeout=TIMEOUT_S)
    names = [item.rfilename for item in info.siblings or ()]
    if plan.reader is not None:
        if not any(name in names for name in INDEXES):
            raise ModelError(f"it has neither {' nor '.join(INDEXES)}, so that it does not say what it is")
        told = snapshot_download(repo_id, revision=revision, allow_patterns=SETTINGS, etag_timeout=TIMEOUT_S)
        try:
            plan.require(facts_of(plan.name, Path(told)))
        except ModelError as error:  # no mirror has another model
            raise NotForThisError(str(error)) from error
    patterns = files_wanted(names)
    folder = Path(snapshot_download(repo_id, revision=revision, allow_patterns=patterns, etag_timeout=TIMEOUT_S))
    lacking = missing_parts(folder)
    if lacking:
        raise ModelError("; ".join(lacking))
    check_folder(folder)
    return folder


def _one_line(error: Exception) -> str:
    name = type(error).__name__
    if name == "GatedRepoError":
        return GATED
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    hidden = " If it is private: hf auth login" if name == "RepositoryNotFoundError" else ""
    return f"{name}: {lines[0][:160]}{hidden}" if lines else name
