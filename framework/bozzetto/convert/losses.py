"""threestudio's loss weights, and the losses of ours that they weigh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bozzetto.convert.choose import BUILT_IN, Chosen
from bozzetto.convert.rules import Changed, Lost, Note
from bozzetto.convert.values import adjusted, is_zero, schedule
from bozzetto.errors import PluginError
from bozzetto.registry import Registry

BASE = "system.loss"


@dataclass(frozen=True)
class LossKey:
    """One weight of theirs and the loss of ours it weighs."""

    name: str
    ours: tuple[str, ...] = ()
    """Names to look for, best first."""
    factor: float = 1.0
    """Our weight is this many times theirs."""
    note: str = ""
    tasks: tuple[str, ...] = ("random",)
    """Which tasks it belongs to, where there are two."""


REFERENCE, BOTH, POSE = ("reference",), ("random", "reference"), ("pose",)
GUIDED = {"random": "guidance", "pose": "posed"}
"""The guidance of each task that has one."""
NO_TASK: Mapping[tuple[str, ...], str] = {
    REFERENCE: "there is no task here that compares with a reference image",
    POSE: "there is no task here with a second guidance",
}
QUARTER = "a quarter: normals are in [-1, 1] here, in [0, 1] there"

LOSSES = (
    LossKey("lambda_sds", ("sds",)),
    LossKey("lambda_vsd", ("vsd",)),
    LossKey("lambda_lora", ("lora",)),
    LossKey("lambda_sdi", ("sdi",)),
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
    LossKey("lambda_eikonal", ("eikonal",)),
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
    LossKey("lambda_sd", ("sds",)),
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
    """A translated loss: its task, its name here, its weight, and the key it comes from."""

    task: str
    name: str
    value: Any
    key: str


def translate_losses(
    weights: Mapping[str, Any], chosen: Mapping[str, Chosen], registry: Registry
) -> Iterator[Weight | Note]:
    """Every weight that is not always 0."""
    known = {rule.name: rule for rule in LOSSES}
    provided = frozenset().union(*(item.entry.spec.provides for item in chosen.values()))
    tasks = ["random", *(task for task, slot in (("reference", "reference"), ("pose", "posed")) if slot in chosen)]
    for name, value in weights.items():
        key = f"{BASE}.{name}"
        if is_zero(value):
            continue
        rule = known.get(name) or LossKey(name, (name.removeprefix("lambda_").replace("_", "-"),))
        slot = GUIDED.get(rule.tasks[0], "guidance")
        made = chosen[slot].entry.spec.provides if slot in chosen else frozenset()
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


def stilled(weights: Mapping[str, Any], task: str, made: frozenset[str]) -> str:
    """The key of theirs that keeps what a guidance makes at 0; empty if none does."""
    rules = (rule for rule in LOSSES if rule.tasks[0] == task and rule.name in weights and set(rule.ours) & made)
    return next((f"{BASE}.{rule.name}" for rule in rules if is_zero(weights[rule.name])), "")


def _times(factor: float) -> Any:
    return lambda number: number * factor if factor != 1.0 else number


def _find(
    rule: LossKey, guidance: frozenset[str], provided: frozenset[str], registry: Registry
) -> tuple[str | None, str]:
    """The name here, or why there is none."""
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
        why = f"the loss {name!r} needs {', '.join(sorted(needs - provided))}, which nothing in this recipe provides"
    return None, why
