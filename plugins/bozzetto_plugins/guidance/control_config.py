"""Settings of ControlNets, and the checks of their weights. Does not import torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from bozzetto.errors import ModelError
from bozzetto.fields import FilePath, Range, check_fields
from bozzetto.math.schedules import Schedule
from bozzetto.model_files import read_settings
from bozzetto.recipe import Stage

ControlScale = Annotated[Schedule, Range(least=0.0, most=10.0)]
KIND = "ControlNetModel"
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
        settings = read_settings(folder / "config.json")
        if settings.get("_class_name") != KIND:
            raise ModelError(
                f"controls: {folder / 'config.json'} is of class {settings.get('_class_name')!r:.80}, not {KIND}. Give "
                "a ControlNet in diffusers' format."
            )
        for name in WIDTHS:
            if name in settings and name in theirs and settings[name] != theirs[name]:
                raise ModelError(
                    f"controls: the ControlNet in {folder} is for a denoiser whose {name} is {settings[name]!r:.80}, "
                    f"and that of the model has {theirs[name]!r:.80}: it is of another family. Choose one for this "
                    "model."
                )
