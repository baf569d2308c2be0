"""Settings of ControlNets, and the checks of their weights. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from bozzetto.errors import ModelError
from bozzetto.fields import FilePath, Range, check_fields
from bozzetto.math.schedules import Schedule
from bozzetto.model_files import ModelFacts, read_settings
from bozzetto.recipe import Stage

ControlScale = Annotated[Schedule, Range(least=0.0, most=10.0)]
KIND = "ControlNetModel"
MAP_CHANNELS = 3
SDXL_WIDTH = 2048
BASES: Mapping[object, str] = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x"}
"""Families of models by the width of their text."""
WIDTHS = ("cross_attention_dim", "block_out_channels", "layers_per_block", "down_block_types", "in_channels")
"""Settings that a ControlNet shares with the denoiser that it is made for."""


@dataclass(frozen=True)
class ControlConfig:
    """A ControlNet (Zhang et al. 2023), which makes a denoiser draw what a map of the rendered shape shows."""

    model: Annotated[str, FilePath(or_name=True)]
    """Weights of the ControlNet: an alias such as `controlnet-normal`, a hub repository `owner/name`, or a folder with
    its `config.json` and weights in diffusers' format."""
    map: Literal["normal", "depth"]
    """What it sees of each view: normals in the camera's frame, blue front, red left, green top; or inverse depth,
    white near, black where nothing is. It must be the kind of map that it was trained on."""
    scale: ControlScale = Schedule.constant(1.0)
    """Factor of what it adds to the denoiser, in all branches alike; 0: it is not used. A schedule ends its use."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.model.strip():
            raise ValueError("model: must name weights, e.g. controlnet-normal, owner/name or a folder")

    @property
    def used(self) -> bool:
        """True unless its scale is always 0."""
        return max(self.scale.start, self.scale.end) > 0.0


def check_maps(controls: Sequence[ControlConfig], stage: Stage) -> None:
    """Raise `ValueError` if the scene does not give a map, or a control has no effect."""
    provided = stage.geometry.entry.spec.provides | stage.renderer.entry.spec.provides
    for index, control in enumerate(controls):
        if not control.used:
            raise ValueError(f"controls: the scale of controls[{index}] is always 0, so it has no effect. Remove it")
        if control.map == "normal" and "normal" not in provided:
            raise ValueError(
                f"controls: controls[{index}] reads rendered normals, which neither the geometry nor the renderer "
                "gives. Choose the map depth, with a ControlNet of depth, or another geometry"
            )


def check_controls(base: Path, folders: Sequence[Path]) -> None:
    """Raise `ModelError` if a folder holds no ControlNet, or one for another denoiser than that of folder `base`."""
    theirs = read_settings(base / "unet" / "config.json")
    if theirs.get("_class_name", "UNet2DConditionModel") != "UNet2DConditionModel":
        raise ModelError(
            f"controls: the denoiser of {base.name} is a {theirs.get('_class_name')!r:.80}, which takes no ControlNet. "
            "Choose a Stable Diffusion, or drop controls."
        )
    for folder in folders:
        _require_fit(str(folder), read_settings(folder / "config.json"), theirs)


@dataclass(frozen=True)
class ControlJudge:
    """Judges ControlNets before they are downloaded. Implements `bozzetto.model_files.ModelJudge`."""

    base: Path | None
    """Folder of the model that they are for; None: it is not on this machine yet."""

    def family_of(self, facts: ModelFacts) -> str:
        """Return the family of models that a ControlNet is for.

        Raises:
            ModelError: it is no ControlNet, or for another model; the message starts with `controls: `.
        """
        settings = facts.settings.get("config.json", {})
        if pipeline := facts.setting("model_index.json", "_class_name"):
            raise ModelError(
                f"controls: {facts.name} is a whole model, {pipeline!r:.80}, and no ControlNet. Give it as the "
                "guidance's model, and here a ControlNet in diffusers' format."
            )
        theirs = {} if self.base is None else read_settings(self.base / "unet" / "config.json")
        _require_fit(facts.name, settings, theirs)
        width = settings.get("cross_attention_dim")
        return f"a ControlNet for {BASES.get(width, 'a latent diffusion model')}"


def _require_fit(name: str, settings: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Raise `ModelError` unless a ControlNet of these settings can be used with a denoiser.

    Args:
        theirs: settings of the denoiser; empty if they are not known.
    """
    if settings.get("_class_name") != KIND:
        raise ModelError(
            f"controls: {name} is of class {settings.get('_class_name')!r:.80}, not {KIND}. Give a ControlNet in "
            "diffusers' format."
        )
    seen = settings.get("conditioning_channels", MAP_CHANNELS)
    if seen != MAP_CHANNELS:
        raise ModelError(
            f"controls: the ControlNet {name} sees maps of {seen!r:.80} channels, and those of normals and depth have "
            f"{MAP_CHANNELS}. Choose another, e.g. controlnet-depth."
        )
    if settings.get("addition_embed_type") or settings.get("cross_attention_dim") == SDXL_WIDTH:
        raise ModelError(
            f"controls: the ControlNet {name} is for SDXL, and those of this guidance are for Stable Diffusion 1.x and "
            "2.x. Choose another, e.g. controlnet-depth."
        )
    for key in WIDTHS:
        if key in settings and key in theirs and settings[key] != theirs[key]:
            raise ModelError(
                f"controls: the ControlNet {name} is for a denoiser whose {key} is {settings[key]!r:.80}, and that of "
                f"the model has {theirs[key]!r:.80}: it is of another family. Choose one for this model."
            )
