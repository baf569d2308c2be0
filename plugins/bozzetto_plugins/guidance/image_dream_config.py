"""Settings of the guidance `image-dream`. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from bozzetto.errors import ModelError
from bozzetto.fields import FilePath, check_fields
from bozzetto.model_files import ModelFacts
from bozzetto.recipe import Stage, Task
from bozzetto_plugins.guidance.diffusion_prior_config import Side, check_groups, check_parts
from bozzetto_plugins.guidance.family_table import family_of
from bozzetto_plugins.guidance.model_families.known import known_family


@dataclass(frozen=True)
class ImageDreamConfig:
    """Settings of ImageDream, which is shown a photo and predicts groups of views; the score is set by itself.

    A task without `score` uses SDS as the score `distillation` does by default.
    """

    estimates_elevation: ClassVar[bool] = False
    """False: the guidance is not a `bozzetto.kinds.guidance.ElevationEstimator`."""
    prior_branches: ClassVar[frozenset[str]] = frozenset({"cond", "uncond", "empty", "plain"})
    """Branches that the guidance predicts for scores: `cond` and `plain` see the photo, the others do not."""
    replaced_by_score: ClassVar[frozenset[str]] = frozenset()
    """Fields without effect in a task with a score."""
    without_model: ClassVar[str] = (
        "use the guidance zero123 with model=bozzetto-mini-zero123: no bundled model is an ImageDream (its weights are "
        "made by tools/convert_imagedream.py)"
    )
    """What to do where the weights are not at hand."""

    model: Annotated[str, FilePath(or_name=True)] = "imagedream"
    """Model weights: a folder that `tools/convert_imagedream.py` made, or a hub repository with the files of one."""
    image_size: Side | None = None
    """Side of the square images given to the model, pixels; null: the size that it was trained on."""
    encode: Literal["sample", "mode"] = "sample"
    """Latents of the views: a sample of the image encoder's distribution, or its mode. Those of the photo: its mode."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Data type of the frozen weights; `auto`: float16 on an accelerator, else the CPU's fastest."""
    cpu_offload: Literal["none", "model", "sequential"] = "none"
    """Keep weights in main memory until used; `model` loads the whole denoiser, `sequential` one layer at a time."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.model.strip():
            raise ValueError("model: must name weights, e.g. a folder that tools/convert_imagedream.py made")

    def family_of(self, facts: ModelFacts) -> str:
        """Return the name of a model's family; raises `ModelError` with the reason if it cannot guide."""
        return family_of(facts, "image-dream").name

    def write_model_folder(self, file: Path, tensors: Mapping[str, Any], folder: Path) -> None:
        """Raise `ModelError`: single files are converted by a tool."""
        raise ModelError(f"model: {file} is one file. Convert it with tools/convert_imagedream.py.")

    def require_weights(self, folder: Path) -> None:
        """Raise `ModelError` if the model in `folder` is of another kind, or a required package is not installed."""
        check_parts(self, folder, known_family(folder, "image-dream"))

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raise `ValueError` if the task's views have no groups."""
        if task is not None:
            check_groups("ImageDream", task)
