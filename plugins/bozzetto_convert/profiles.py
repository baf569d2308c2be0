"""Profiles of a converted recipe: `cuda` as in threestudio; `cpu` small, with the bundled priors and their cameras."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bozzetto.config.binding import plain
from bozzetto_convert.component_choice import Chosen
from bozzetto_convert.draft import Line
from bozzetto_convert.rules import UNSET

PROFILES = ("cuda", "cpu")
STEPS = 800
"""Maximum steps of a stage on a CPU."""
PRIORS = {"stable-diffusion": ("bozzetto-mini", 1.0), "zero123": ("bozzetto-mini-zero123", 1.0)}
"""Bundled weights of a guidance and their guidance scale."""
INSTEAD: Mapping[str, Mapping[str, Any]] = {"diffusion-prior": {"type": "stable-diffusion", "model": "bozzetto-mini"}}
"""Guidance in the place of one that no bundled prior fits."""
LATENTS: Mapping[str, Mapping[str, Any]] = {"geometry": {"feature_count": 48}, "material": {"codec": "pixels"}}
"""Scene of the bundled prior's latents, which are the pixels of patches of 4 x 4."""
LATENT_VIEWS: Mapping[str, Any] = {"height": 32, "width": 32}
"""Size of its latents, in which such a scene is rendered."""
GRID = {
    "levels": 6,
    "log2_table_size": 17,
    "base_resolution": 8,
    "finest_resolution": 48,
    "interpolation": "smoothstep",
}
"""Grid for 64-pixel images, which the bundled priors upscale, so that a finer grid is not needed."""
CAMERA = {"distance": 3.2, "fov_y_deg": 40.0}
"""Camera framing of an object of radius 1 on which the bundled priors were trained."""
SMALL: Mapping[str, Mapping[str, Any]] = {
    "geometry": {
        "radius": 1.0, "resolution": 48, **GRID, **{f"features.{name}": value for name, value in GRID.items()},
        "levels_active": None, "sphere_radius": 0.5, "beta": 0.05, "least_beta": 0.02,
    },
    "renderer": {"samples_per_ray": 96, "occupancy_resolution": 32},
    "reference": {
        "height": 64, "width": 64, "resolution_milestones": [], **CAMERA, "object_fraction": 0.66,
        "eval_height": 128, "eval_width": 128,
    },
    "views": {
        "batch_size": 1, "height": 64, "width": 64, "resolution_milestones": [],
        "distance": [CAMERA["distance"]] * 2, "fov_y_deg": [CAMERA["fov_y_deg"]] * 2, "progressive_until_step": 0,
        "eval_distance": CAMERA["distance"], "eval_fov_y_deg": CAMERA["fov_y_deg"],
        "eval_height": 128, "eval_width": 128,
    },
    "turntable": {"size": 192},
    "mesh": {"texture_size": 512, "resolution": 128},
}  # fmt: skip
"""Field values of the cpu profile by slot."""
GUIDANCE = {"as_latent_until_step": 0, "weighting": "one-minus-alpha-bar", "dtype": "auto", "cpu_offload": "none"}
"""Guidance settings that the bundled priors do not support or need, with their replacements."""

INVERSION = {"noise.scale": 1.0, "noise.spacing": 0.2, "noise.overshoot": False}
"""Inversion with the bundled priors, which do not support guidance in it; longer steps are fewer. None ends at the last
timestep, where these priors have no signal left to divide by."""
FALLING = {"from": 0.6, "to": 0.3, "until_step": STEPS}
"""Falling timestep with the bundled priors, in the steps of this profile."""

TRAINED = {"reference.lr": 0.01}
"""Adapter that learns fast enough for a few hundred steps."""


def profile_lines(chosen: Mapping[str, Chosen], lines: Mapping[str, Line]) -> dict[str, Line]:
    """Return the lines of both profiles by dotted path; only values that differ from the recipe or the defaults."""
    made = {"profiles.cuda.device": Line("cuda", "as in threestudio")}
    made["profiles.cpu.device"] = Line("cpu", "small, with the bundled prior and the cameras it knows")
    for path, value, default in _changes(chosen, lines):
        if value != (lines[path].value if path in lines else default):
            made[f"profiles.cpu.{path}"] = Line(value, "")
    steps = lines.get("trainer.steps")
    if steps is None or steps.value > STEPS:
        made["profiles.cpu.trainer.steps"] = Line(STEPS, "")
    return made


def _of_latents(slot: str, chosen: Mapping[str, Chosen], lines: Mapping[str, Line]) -> Mapping[str, Any]:
    """Return the field values of a slot where the scene is one of latents."""
    material = chosen["material"]
    if material.entry.spec.name != "latent":
        return {}
    colors = f"{material.slot.where}.space" in lines
    return LATENT_VIEWS if slot == "views" and not colors else LATENTS.get(slot, {})


def _changes(chosen: Mapping[str, Chosen], lines: Mapping[str, Line]) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, value and default of every field that the cpu profile may change."""
    for slot, item in chosen.items():
        fields = {**SMALL.get(slot, {}), **_of_latents(slot, chosen, lines)}
        if slot == "guidance" and item.entry.spec.name in INSTEAD:
            instead = INSTEAD[item.entry.spec.name]
            yield from ((f"{item.slot.where}.{name}", value, None) for name, value in instead.items())
            continue
        if slot in ("guidance", "posed") and item.entry.spec.name in PRIORS:
            model, scale = PRIORS[item.entry.spec.name]
            fields = {"model": model, "cfg_scale": scale, **GUIDANCE}
        if slot == "guidance" and "score" in chosen:
            replaced: frozenset[str] = getattr(item.schema, "replaced_by_score", frozenset())
            fields = {name: value for name, value in fields.items() if name not in replaced}
        if slot == "score":
            fields = {"guider.scale": 1.0}
            fields |= INVERSION if f"{item.slot.where}.noise.type" in lines else {}
            if falls := lines.get(f"{item.slot.where}.timesteps.at"):
                fields["timesteps.at"] = {**falls.value, **FALLING}
            fields |= TRAINED if f"{item.slot.where}.reference.type" in lines else {}
        where = [item.slot.where, *(["system.tasks.pose.views"] if slot == "views" and "posed" in chosen else [])]
        for name, value in fields.items():
            if found := item.field(name):
                default = plain(found[1]) if found[1] is not UNSET else None
                yield from ((f"{place}.{name}", value, default) for place in where)
