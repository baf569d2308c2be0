"""Release folder of a prior: atomic replacement, noise schedule, and the size of its files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from bozzetto_plugins.priors.camera_denoiser import BETAS

MOST_BYTES = "15MB"
"""Maximum size of one weight file."""


def noise_schedule() -> DDIMScheduler:
    """Return the noise schedule of `CameraUNet` for diffusers."""
    return DDIMScheduler(
        num_train_timesteps=1000, beta_start=BETAS[0], beta_end=BETAS[1], beta_schedule="scaled_linear",
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing", clip_sample=False,
        set_alpha_to_one=False, steps_offset=1,
    )  # fmt: skip


@contextmanager
def rewritten(folder: Path, *old: str) -> Iterator[Path]:
    """Provide a new folder that replaces `folder` atomically; files that do not match the patterns `old` are kept."""
    fresh, gone = (folder.with_name(f".{folder.name}-{word}") for word in ("new", "old"))
    for each in (fresh, gone):
        shutil.rmtree(each, ignore_errors=True)
    fresh.mkdir(parents=True)
    if folder.is_dir():
        shutil.copytree(folder, fresh, ignore=shutil.ignore_patterns(*old), dirs_exist_ok=True)
    yield fresh
    if folder.is_dir():
        folder.replace(gone)
    fresh.replace(folder)
    shutil.rmtree(gone, ignore_errors=True)
