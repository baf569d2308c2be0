"""Settings of the guidance `instruct-pix2pix`. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from bozzetto.errors import ModelError
from bozzetto.fields import FilePath, Range, check_fields
from bozzetto.math.schedules import Schedule
from bozzetto.model_files import ModelFacts, read_settings
from bozzetto.recipe import Stage, Task
from bozzetto.spec import installed
from bozzetto.weights.folder import PARTS, parts_in
from bozzetto_plugins.guidance.family_table import EDITOR, family_of
from bozzetto_plugins.score.axes import Fraction, Scale, steps_of

OF_EDITING = ("scale", "image_scale", "edit_every", "edit_steps", "min_step_fraction", "max_step_fraction", "debug")
"""Fields of the guidance's own method: a score in the task replaces them."""


@dataclass(frozen=True)
class InstructPix2PixConfig:
    """Settings of editing a scene by an instruction, with InstructPix2Pix (Brooks et al. 2023) or a similar model.

    By itself its method is that of Instruct-NeRF2NeRF (Haque et al. 2023): pictures of fixed views are edited one by
    one while the scene is fitted to them. With a score of guider `three-way`, score distillation.
    """

    estimates_elevation: ClassVar[bool] = False
    """False: the guidance is not a `bozzetto.kinds.guidance.ElevationEstimator`."""
    prior_branches: ClassVar[frozenset[str]] = frozenset({"cond", "image", "uncond"})
    """Branches that the guidance predicts for scores: instruction and picture, the picture alone, neither."""
    replaced_by_score: ClassVar[frozenset[str]] = frozenset(OF_EDITING)
    """Fields without effect in a task with a score."""
    without_model: ClassVar[str] = "choose another recipe, e.g. texture-mesh: no bundled model edits pictures"
    """What to do where the weights are not at hand."""

    model: Annotated[str, FilePath(or_name=True)] = "instruct-pix2pix"
    """Model weights: an alias such as `instruct-pix2pix`, a hub repository, or a folder in diffusers' format."""
    scale: Scale = Schedule.constant(7.5)
    """Guidance scale of the instruction."""
    image_scale: Scale = Schedule.constant(1.5)
    """Guidance scale of the original picture; larger values change less."""
    edit_every: Annotated[int, Range(least=1, most=1_000_000)] = 10
    """Steps between edits; each edits the first view of its step."""
    edit_steps: Annotated[int, Range(least=1, most=1000)] = 20
    """Denoising steps of an edit (DDIM)."""
    min_step_fraction: Fraction = Schedule.constant(0.02)
    """Lower bound of the noise from which a view is edited, as a fraction of the model's training timesteps."""
    max_step_fraction: Fraction = Schedule.constant(0.98)
    """Upper bound of that noise; lower values change less."""
    encode: Literal["sample", "mode"] = "sample"
    """Latents of the rendering: a sample of the image encoder's distribution, or its mode."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Data type of the frozen weights; `auto`: float16 on an accelerator, else the CPU's fastest."""
    attention_slicing: bool = False
    """Compute attention in slices; needs less memory, is slower."""
    cpu_offload: Literal["none", "model", "sequential"] = "none"
    """Keep weights in main memory until used; `model` loads the whole denoiser, `sequential` one layer at a time."""
    channels_last: bool = False
    """Store convolution weights channels-last; faster on GPUs with tensor cores."""
    debug: bool = True
    """Provide debug images: the original and the edited picture; free until `trainer.debug_every` draws them."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.model.strip():
            raise ValueError("model: must name weights, e.g. instruct-pix2pix, owner/name or a folder")
        for step in steps_of((self.min_step_fraction, self.max_step_fraction)):
            low, high = self.min_step_fraction.at(step), self.max_step_fraction.at(step)
            if low > high:
                raise ValueError(
                    f"min_step_fraction: must not exceed max_step_fraction, got {low:g} and {high:g} at step {step}"
                )

    def family_of(self, facts: ModelFacts) -> str:
        """Return the name of a model's family; raises `ModelError` with the reason if it does not edit pictures."""
        return family_of(facts, EDITOR).name

    def write_model_folder(self, file: Path, tensors: Mapping[str, Any], folder: Path) -> None:
        """Raise `ModelError`: single files are not read."""
        self.family_of(ModelFacts(str(file), tensors={name: tuple(value.shape) for name, value in tensors.items()}))
        raise ModelError(f"model: {file} is one file, which is not read. Give a folder in diffusers' format.")

    def require_weights(self, folder: Path) -> None:
        """Raise `ModelError` if the model in `folder` does not edit pictures, or a required package is missing."""
        if parts_in(folder) != PARTS:
            raise ModelError(f"model: {self.model} is of another kind than InstructPix2Pix. Choose instruct-pix2pix.")
        reads = read_settings(folder / "unet" / "config.json").get("in_channels")
        made = read_settings(folder / "vae" / "config.json").get("latent_channels", 4)
        if reads != 2 * made:
            raise ModelError(
                f"model: {self.model} does not edit pictures: its denoiser reads {reads} channels, and one that is "
                f"given a picture beside the noisy one reads {2 * made}. Choose instruct-pix2pix; a text-to-image "
                "model is for the guidance stable-diffusion."
            )
        if self.cpu_offload != "none" and not installed("accelerate"):
            raise ModelError(
                f"cpu_offload: {self.cpu_offload!r} needs the package accelerate. Run: pip install accelerate, or set "
                "cpu_offload=none."
            )

    def check_neighbours(self, stage: Stage, task: Task | None) -> None:
        """Raise `ValueError` if several processes would edit their own pictures, or the scene shows latents."""
        if getattr(stage.material.config, "space", None) == "latent":
            raise ValueError("type: edits colours; render the scene in space 'rgb'")
        if task is not None and task.score is None and stage.trainer.devices > 1:
            raise ValueError(
                f"type: keeps edited pictures, of which {stage.trainer.devices} processes would each have their own. "
                "Set trainer.devices=1, or give the task a score"
            )
        if (
            task is not None
            and task.score is not None
            and "image" not in getattr(task.score.config, "branches", {"image"})
        ):
            raise ValueError(
                f"type: is given a picture besides the instruction, and {task.score.where} does not weigh them "
                "separately. Set score.guider={type: three-way, scale: 7.5, image_scale: 1.5}"
            )
