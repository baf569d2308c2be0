"""Settings of the guidance `diffusion-prior`. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from bozzetto.errors import ModelError
from bozzetto.fields import FilePath, Range, check_fields
from bozzetto.model_files import ModelFacts, facts_of, read_settings
from bozzetto.recipe import Stage, Task
from bozzetto.spec import installed
from bozzetto_plugins.guidance.family_table import family_of
from bozzetto_plugins.guidance.model_families.known import KnownFamily, known_family, pipeline_of

if TYPE_CHECKING:
    from bozzetto_plugins.guidance.image_dream_config import ImageDreamConfig

Side = Annotated[int, Range(least=8, most=4096)]


@dataclass(frozen=True)
class DiffusionPriorConfig:
    """Settings of a diffusion model of another family than Stable Diffusion 1.x and 2.x; the score is set by itself.

    A task without `score` uses SDS as the score `distillation` does by default.
    """

    estimates_elevation: ClassVar[bool] = False
    """False: the guidance is not a `bozzetto.kinds.guidance.ElevationEstimator`."""
    prior_branches: ClassVar[frozenset[str]] = frozenset({"cond", "uncond", "empty", "plain", "negatives"})
    """Branches that the guidance predicts for scores, as far as the prompt processor gives their texts."""
    replaced_by_score: ClassVar[frozenset[str]] = frozenset()
    """Fields without effect in a task with a score."""
    without_model: ClassVar[str] = (
        "use the guidance stable-diffusion with model=bozzetto-mini: no bundled model is of the families of "
        "diffusion-prior (weights of MVDream are made by tools/convert_mvdream.py)"
    )
    """What to do where the weights are not at hand."""

    model: Annotated[str, FilePath(or_name=True)] = "sdxl"
    """Model weights: an alias such as `sdxl`, a hub repository `owner/name`, a folder in diffusers' format, or a single
    file of SDXL."""
    image_size: Side | None = None
    """Side of the square images given to the model, pixels; null: the size that it was trained on."""
    encode: Literal["sample", "mode"] = "sample"
    """Latents: a sample of the image encoder's distribution, or its mode; the same for a model of pixels."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Data type of the frozen weights; `auto`: on an accelerator the one that the family's authors use."""
    cpu_offload: Literal["none", "model", "sequential"] = "none"
    """Keep weights in main memory until used; `model` loads the whole denoiser, `sequential` one layer at a time."""
    long_text: bool = True
    """Encode prompts with T5-XXL too, where that is optional (Stable Diffusion 3); false: zeros in its place."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.model.strip():
            raise ValueError("model: must name weights, e.g. sdxl, owner/name or a folder")

    def family_of(self, facts: ModelFacts) -> str:
        """Return the name of a model's family; raises `ModelError` with the reason if it cannot guide."""
        return family_of(facts, "diffusion-prior").name

    def write_model_folder(self, file: Path, tensors: Mapping[str, Any], folder: Path) -> None:
        """Write the model of a single file of SDXL as a folder; imports torch. Raises `ModelError`."""
        from bozzetto_plugins.guidance.single_file import write_model_folder

        write_model_folder(file, tensors, folder, guidance="diffusion-prior")

    def require_weights(self, folder: Path) -> None:
        """Raise `ModelError` if the model in `folder` is of another kind, or a required package is not installed."""
        known = known_family(folder)
        self.family_of(facts_of(self.model, folder))
        check_parts(self, folder, known)
        if not self.long_text and known.long_text != "optional":
            raise ModelError(
                f"long_text: has no effect on {known.name}, which has no T5 that can be left out. Drop it."
            )

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raise `ValueError` if the model predicts groups of views and the task's views have none.

        Of a model that is not a folder, the family is known once its weights are here: the guidance checks then.
        """
        folder = Path(self.model).expanduser()
        if task is None or not (folder / "model_index.json").is_file() or pipeline_of(folder) == "":
            return
        known = known_family(folder)
        if known.grouped:
            check_groups(known.name, task)


def check_groups(family: str, task: Task) -> None:
    """Raise `ValueError` if a task's views have no groups, for a family that predicts those."""
    if getattr(task.views.config, "views_per_group", 1) < 2:
        raise ValueError(f"model: {lacks_groups(family, task.views.where)}")


def lacks_groups(family: str, where: str) -> str:
    """Return why a family cannot predict single views, and the cure."""
    return (
        f"{family} predicts the views of a group jointly, and the views of this task have no groups. Set "
        f"{where}.views_per_group=4 and batch_size to a multiple of it"
    )


def check_parts(config: DiffusionPriorConfig | ImageDreamConfig, folder: Path, known: KnownFamily) -> None:
    """Raise `ModelError` if a network in a folder is of another class than the family's, or a package is missing."""
    for part, kind in known.classes.items():
        path = folder / part / "config.json"
        named = read_settings(path).get("_class_name")
        if named != kind:
            raise ModelError(f"model: {path} is of class {named!r:.80}, not {kind}. {known.cure}")
    whole = (folder / "tokenizer" / "tokenizer.json").is_file()  # without it the tokenizer is converted
    lacking = [package for package in known.packages if not whole and not installed(package)]
    if lacking:
        raise ModelError(f"model: {known.name} needs the package {lacking[0]}. Run: pip install {lacking[0]}")
    if config.cpu_offload != "none" and not installed("accelerate"):
        raise ModelError(
            f"cpu_offload: {config.cpu_offload!r} needs the package accelerate. Run: pip install accelerate, or set "
            "cpu_offload=none."
        )
