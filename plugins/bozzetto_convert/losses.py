"""Converts threestudio's loss weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bozzetto.errors import PluginError
from bozzetto.registry.discovery import Registry
from bozzetto_convert.component_choice import BUILT_IN, Chosen
from bozzetto_convert.rules import Changed, Lost, Note, Read
from bozzetto_convert.score_parts import LATENT_VALUES, in_a_score
from bozzetto_convert.values import adjusted, is_zero, schedule

BASE = "system.loss"


@dataclass(frozen=True)
class LossKey:
    """threestudio loss weight and the loss it corresponds to."""

    name: str
    ours: tuple[str, ...] = ()
    """Names to look for, best first."""
    factor: float = 1.0
    """Factor from threestudio's weight to ours."""
    note: str = ""
    tasks: tuple[str, ...] = ("random",)
    """Tasks that the loss belongs to, if the recipe has several."""


REFERENCE, BOTH, POSE = ("reference",), ("random", "reference"), ("pose",)
GUIDED = {"random": ("score", "guidance"), "pose": ("posed",)}
"""Slots that can make the losses of each task with a guidance, first the one that does if it is there."""
NO_TASK: Mapping[tuple[str, ...], str] = {
    REFERENCE: "there is no task here that compares with a reference image",
    POSE: "there is no task here with a second guidance",
}
MEAN = f"1 / {LATENT_VALUES}: the mean over the values of the latents there, their sum here"
QUARTER = "a quarter: normals are in [-1, 1] here, in [0, 1] there"

LOSSES = (
    LossKey("lambda_sds", ("score", "sds")),
    LossKey("lambda_vsd", ("score", "vsd")),
    LossKey("lambda_lora", ("lora",)),
    LossKey("lambda_train_phi", ("lora",)),
    LossKey("lambda_sdi", ("score", "sdi"), 1.0 / LATENT_VALUES, MEAN),
    LossKey(
        "lambda_orient", ("orientation",), note="averaged over all rays here, over rays that hit there", tasks=BOTH
    ),
    LossKey("lambda_sparsity", ("sparsity",)),
    LossKey("lambda_opaque", ("opaque",), tasks=BOTH),
    LossKey("lambda_z_variance", ("z-variance",)),
    LossKey("lambda_normal_smooth", ("normal-smoothness-2d",), 0.25, QUARTER, BOTH),
    LossKey("lambda_normal_smoothness_2d", ("normal-smoothness-2d",), 0.25, QUARTER, BOTH),
    LossKey("lambda_3d_normal_smooth", ("normal-smoothness-3d",), tasks=BOTH),
    LossKey("lambda_normal_consistency", ("normal-consistency",), tasks=BOTH),
    LossKey("lambda_laplacian_smoothness", ("laplacian-smoothness", "laplacian"), tasks=BOTH),
    LossKey("lambda_eikonal", ("eikonal",), note="at random points of the scene here, at the samples of rays there"),
    LossKey("lambda_shape", ("guide-shape",)),
    LossKey("lambda_convex", ("convexity",)),
    LossKey("lambda_emptiness", ("emptiness",)),
    LossKey("lambda_rgb", ("reference-color", "reference-rgb"), tasks=REFERENCE),
    LossKey("lambda_mask", ("reference-mask",), tasks=REFERENCE),
    LossKey("lambda_depth", ("reference-depth",), tasks=REFERENCE),
    LossKey("lambda_depth_rel", ("reference-depth-correlation",), tasks=REFERENCE),
    LossKey("lambda_normal", ("reference-normal",), tasks=REFERENCE),
    LossKey("lambda_sds_img"),
    LossKey("lambda_vsd_img"),
    LossKey("lambda_sd", ("score", "sds")),
    LossKey("lambda_sd_img"),
    LossKey("lambda_3d_sds", ("sds",), tasks=POSE),
    LossKey("lambda_3d_sd", ("sds",), tasks=POSE),
    LossKey("lambda_3d_sd_img"),
    LossKey("lambda_l1"),
    LossKey("lambda_p"),
    LossKey("lambda_kl"),
    LossKey("lambda_G"),
    LossKey("lambda_D"),
)


@dataclass(frozen=True)
class Weight:
    """Converted loss: its task, its name here, its weight, and the key it comes from."""

    task: str
    name: str
    value: Any
    key: str


def translate_losses(
    weights: Mapping[str, Any], chosen: Mapping[str, Chosen], registry: Registry, read: Read
) -> Iterator[Weight | Note]:
    """Yield the converted weight of every loss that is not 0 at all steps, and notes."""
    known = {rule.name: rule for rule in LOSSES}
    provided = frozenset().union(*(item.entry.spec.provides for item in chosen.values()))
    tasks = ["random", *(task for task, slot in (("reference", "reference"), ("pose", "posed")) if slot in chosen)]
    for name, value in weights.items():
        key = f"{BASE}.{name}"
        if is_zero(value):
            continue
        if said := in_a_score(name, read, "score" in chosen):
            yield said
            continue
        rule = known.get(name) or LossKey(name, (name.removeprefix("lambda_").replace("_", "-"),))
        made = made_by(chosen, rule.tasks[0])
        ours, why = _find(rule, made, provided, registry)
        wanted = [task for task in rule.tasks if task in tasks]
        why = why if wanted else NO_TASK.get(rule.tasks, why)
        result = Lost(why) if ours is None or not wanted else adjusted(schedule(value), _times(rule.factor))
        if isinstance(result, Lost):
            yield Note("lost", key, result.why)
            continue
        if isinstance(result, Changed):
            yield Note("changed", key, result.why)
            result = result.value
        if rule.note:
            yield Note("changed", key, rule.note)
        for task in wanted:
            yield Weight(task, str(ours), result, key)


def made_by(chosen: Mapping[str, Chosen], task: str) -> frozenset[str]:
    """Return the names of the losses that the score of a task makes, or else its guidance; empty without one."""
    slots = (slot for slot in GUIDED.get(task, GUIDED["random"]) if slot in chosen)
    return next((chosen[slot].entry.spec.provides for slot in slots), frozenset())


def stilled(weights: Mapping[str, Any], task: str, made: frozenset[str]) -> str:
    """Return the threestudio key that sets the guidance's own loss to 0; empty if there is none."""
    rules = (rule for rule in LOSSES if rule.tasks[0] == task and rule.name in weights and set(rule.ours) & made)
    return next((f"{BASE}.{rule.name}" for rule in rules if is_zero(weights[rule.name])), "")


def _times(factor: float) -> Any:
    return lambda number: number * factor if factor != 1.0 else number


def _find(
    rule: LossKey, guidance: frozenset[str], provided: frozenset[str], registry: Registry
) -> tuple[str | None, str]:
    """Return the name of the loss here, or None and the reason."""
    why = f"there is no loss {' or '.join(rule.ours)} here" if rule.ours else "such a loss does not exist here"
    for name in rule.ours:
        if name in guidance:
            return name, ""
        try:
            needs = registry.find("loss", name, prefer=(BUILT_IN,)).spec.needs
        except PluginError:
            continue
        if needs <= provided:
            return name, ""
        why = f"the loss {name!r} needs {', '.join(sorted(needs - provided))}, which no component here provides"
    return None, why
