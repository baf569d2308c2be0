"""Fetches the weights that a plan locates: downloads from the hub, converts pickles. Imports torch only for pickles."""

from __future__ import annotations

from pathlib import Path

from bozzetto.errors import ModelError
from bozzetto.weights.faults import check_folder
from bozzetto.weights.folder import files_wanted, missing_parts, pickled_parts
from bozzetto.weights.plans import ModelPlan, split_revision

TIMEOUT_S = 10.0
"""Timeout in seconds of one hub request before the next mirror is tried."""


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
    raise ModelError(f"The model {plan.name!r} cannot be downloaded. Tried:\n" + "\n".join(reasons) + plan.cures)


def _readable(folder: Path) -> Path:
    if not pickled_parts(folder):
        return folder
    from bozzetto.weights.pickled import with_safetensors

    return with_safetensors(folder)


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
