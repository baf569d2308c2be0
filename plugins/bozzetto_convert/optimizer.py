"""Converts threestudio's optimiser and learning-rate scheduler."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bozzetto.config.binding import bind
from bozzetto.config.layers import overlay
from bozzetto.errors import ConfigError
from bozzetto.parameters import Specs, matches
from bozzetto_convert.component_choice import Chosen
from bozzetto_convert.rules import Note, Read
from bozzetto_convert.score_parts import variational
from bozzetto_convert.values import is_number

BASE, SCHEDULER = "system.optimizer", "system.scheduler"

TYPES = {"Adam": "adam", "AdamW": "adamw", "FusedAdam": "adam"}
TORCH = {"betas": [0.9, 0.999], "eps": 1e-8}
"""Defaults of torch's optimisers for arguments that the recipe leaves out."""
ADAMW_DECAY = 0.01
MODULES = (
    "geometry",
    "geometry.encoding",
    "geometry.density_network",
    "geometry.feature_network",
    "geometry.normal_network",
    "background",
)
"""Modules with trainable parameters whose names are equal in both frameworks."""
WITHOUT_PARAMETERS = ("solid", "random-solid")

Setting = tuple[str, Any, str]
"""Field, its value, and the key it comes from."""


def translate_optimizer(
    tree: Mapping[str, Any], background: str, parameters: Mapping[str, Specs | None], read: Read
) -> Iterator[Setting | Note]:
    """Yield the optimiser's settings and learning rates, multiplied by the scheduler.

    Args:
        parameters: parameter declarations of the chosen parts of the scene; None for a part without declaration.
    """
    values = tree.get("optimizer")
    if not isinstance(values, Mapping):
        return
    name, arguments = values.get("name", "Adam"), dict(values.get("args") or {})
    if name not in TYPES:
        yield Note("lost", f"{BASE}.name", f"the optimiser {name!r} does not exist here; Adam stands in")
    yield "type", TYPES.get(name, "adam"), f"{BASE}.name"
    lr = arguments.pop("lr", 0.001)
    decay = {"weight_decay": ADAMW_DECAY} if name == "AdamW" else {}
    for field, value in {**TORCH, **decay, **arguments}.items():
        if field in ("betas", "eps", "weight_decay"):
            yield field, value, f"{BASE}.args.{field}" if field in arguments else "torch's default"
        else:
            yield Note("lost", f"{BASE}.args.{field}", "the optimiser here has no such setting")
    shape, notes = _factor(tree.get("scheduler") or {}, read("trainer.max_steps"))
    yield from notes
    yield "lr", _scheduled(lr, shape), f"{BASE}.args.lr" + (f" and {SCHEDULER}" if shape else "")
    for module, settings in (values.get("params") or {}).items():
        yield from _module(module, settings, lr, shape, background, parameters, read)


def _module(
    module: str,
    settings: Mapping[str, Any],
    lr: float,
    shape: Mapping[str, Any],
    background: str,
    parameters: Mapping[str, Specs | None],
    read: Read,
) -> Iterator[Setting | Note]:
    key = f"{BASE}.params.{module}"
    for extra in set(settings) - {"lr"}:
        yield Note("lost", f"{key}.{extra}", "parts differ in their learning rate alone here")
    own = settings.get("lr", lr)
    if own == lr:
        return
    place = _place(module, parameters)
    if module == "background" and background in WITHOUT_PARAMETERS:
        yield Note("idle", f"{key}.lr", f"the background {background!r} has no parameters")
    elif module == "guidance" and not variational(read):
        yield Note("idle", f"{key}.lr", "nothing is trained beside the scene")
    elif place is None:
        yield Note("lost", f"{key}.lr", f"nothing here has parameters of that name; they learn with {lr:g}")
    else:
        yield f"lr_of.{place}", _scheduled(own, shape), f"{key}.lr"


def _place(module: str, parameters: Mapping[str, Specs | None]) -> str | None:
    """Return the parameter path of a threestudio module: its own name, or, on a surface, that below the features."""
    part, _, rest = module.partition(".")
    specs = parameters.get(part)
    if specs is None:
        return module if module in MODULES else None
    trained = [f"{part}.{name}" for name, spec in specs.items() if spec.trained]
    for candidate in (module, f"{part}.features.{rest}"):
        if any(matches(name, candidate) for name in trained):
            return candidate
    return None


def declared(chosen: Mapping[str, Chosen], lines: Mapping[str, Any]) -> dict[str, Specs | None]:
    """Return the declared parameters of the translated scene parts by part; None if a part declares none."""
    found: dict[str, Specs | None] = {}
    for part in ("geometry", "material", "background"):
        prefix = f"system.{part}."
        values: dict[str, Any] = {}
        for path, line in lines.items():
            if path.startswith(prefix) and path != f"{prefix}type":
                values = overlay(values, _nested(path.removeprefix(prefix).split("."), line.value))
        try:
            config = bind(chosen[part].schema, values, prefix)
        except ConfigError:
            config = None
        asked = getattr(config, "parameter_specs", None)
        found[part] = asked(*([] if part != "material" else [_feature_count(lines)])) if asked else None
    return found


def _feature_count(lines: Mapping[str, Any]) -> int:
    """Return the geometry's feature count; only used for the names of a material's parameters."""
    counts = [line.value for path, line in lines.items() if path.endswith(".feature_count")]
    return counts[0] if counts and isinstance(counts[0], int) else 3


def _nested(path: list[str], value: Any) -> dict[str, Any]:
    head, *rest = path
    return {head: _nested(rest, value) if rest else value}


def _scheduled(lr: float, shape: Mapping[str, Any]) -> Any:
    """Multiply a learning rate by the scheduler's factor."""
    if not shape:
        return lr
    return {**shape, "from": lr * shape["from"], "to": float(f"{lr * shape['to']:.9g}")}


def _factor(scheduler: Mapping[str, Any], steps: int | None) -> tuple[dict[str, Any], list[Note]]:
    """Return the scheduler's factor on the learning rates as a schedule, empty if constant."""
    name, arguments = scheduler.get("name"), scheduler.get("args") or {}
    if not name:
        return {}, []
    if scheduler.get("interval", "epoch") == "epoch" and name != "SequentialLR":
        why = "it counts epochs, and a threestudio run has one: it never had an effect"
        return {}, [Note("changed", SCHEDULER, why)]
    if name == "SequentialLR":
        return _sequential(scheduler, steps)
    shape = _single(name, arguments, 0, steps)
    return shape, [] if shape else [_lost(name)]


def _sequential(scheduler: Mapping[str, Any], steps: int | None) -> tuple[dict[str, Any], list[Note]]:
    """Convert a warm-up and its successor; a schedule here has one slope, so the warm-up is dropped."""
    parts, milestones = scheduler.get("schedulers") or [], scheduler.get("milestones") or []
    if len(parts) != 2 or len(milestones) != 1 or parts[0].get("name") != "LinearLR":
        return {}, [_lost("SequentialLR")]
    start = int(milestones[0])
    shape = _single(parts[1].get("name"), parts[1].get("args") or {}, start, steps)
    if not shape:
        return {}, [_lost(str(parts[1].get("name")))]
    why = f"a schedule here has one slope: the warm-up of {start} steps is left out, the rest is the same"
    return shape, [Note("changed", SCHEDULER, why)]


def _single(name: str | None, arguments: Mapping[str, Any], start: int, steps: int | None) -> dict[str, Any]:
    begin = {"start_step": start} if start else {}
    gamma = arguments.get("gamma")
    if name == "ExponentialLR" and steps and is_number(gamma):
        end = float(f"{gamma ** (steps - start):.9g}")  # undoes the root taken by the recipe's resolver
        return {"from": 1.0, "to": end, **begin, "until_step": steps, "curve": "exponential"}
    if name == "LinearLR":
        total = int(arguments.get("total_iters", 5))
        first, last = arguments.get("start_factor", 1 / 3), arguments.get("end_factor", 1.0)
        return {"from": float(first), "to": float(last), **begin, "until_step": start + total}
    if name == "CosineAnnealingLR" and not arguments.get("eta_min") and "T_max" in arguments:
        return {"from": 1.0, "to": 0.0, **begin, "until_step": start + int(arguments["T_max"]), "curve": "cosine"}
    return {}


def _lost(name: str) -> Note:
    return Note("lost", SCHEDULER, f"{name} is not linear, exponential or cosine; the learning rate is constant")
