"""threestudio's optimiser and learning-rate scheduler in our terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bozzetto.config import bind
from bozzetto.convert.choose import Chosen
from bozzetto.convert.rules import Note, Read
from bozzetto.convert.values import is_number
from bozzetto.errors import ConfigError
from bozzetto.layers import overlay
from bozzetto.parameters import Specs, matches

BASE, SCHEDULER = "system.optimizer", "system.scheduler"

TYPES = {"Adam": "adam", "AdamW": "adamw", "FusedAdam": "adam"}
TORCH = {"betas": [0.9, 0.999], "eps": 1e-8}
"""What torch's optimisers take where the recipe says nothing."""
ADAMW_DECAY = 0.01
MODULES = (
    "geometry",
    "geometry.encoding",
    "geometry.density_network",
    "geometry.feature_network",
    "geometry.normal_network",
    "background",
)
"""Modules that have parameters here, by the name they have in both."""
WITHOUT_PARAMETERS = ("solid", "random-solid")

Setting = tuple[str, Any, str]
"""A field of ours, its value, the key it comes from."""


def translate_optimizer(
    tree: Mapping[str, Any], background: str, parameters: Mapping[str, Specs | None], read: Read
) -> Iterator[Setting | Note]:
    """The optimiser with its learning rates, which the scheduler multiplies.

    Args:
        parameters: what the chosen parts of the scene declare; None for what is not known.
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
        yield from _module(module, settings, lr, shape, background, parameters)


def _module(
    module: str,
    settings: Mapping[str, Any],
    lr: float,
    shape: Mapping[str, Any],
    background: str,
    parameters: Mapping[str, Specs | None],
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
    elif place is None:
        yield Note("lost", f"{key}.lr", f"nothing here has parameters of that name; they learn with {lr:g}")
    else:
        yield f"lr_of.{place}", _scheduled(own, shape), f"{key}.lr"


def _place(module: str, parameters: Mapping[str, Specs | None]) -> str | None:
    """Place of the parameters of their module here: under its name, or, on a surface, among the features."""
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
    """Declared parameters of the scene's parts that have been translated so far, by part; None where not known."""
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
    """The geometry's feature count, as far as it matters here: for the names of a material's parameters."""
    counts = [line.value for path, line in lines.items() if path.endswith(".feature_count")]
    return counts[0] if counts and isinstance(counts[0], int) else 3


def _nested(path: list[str], value: Any) -> dict[str, Any]:
    head, *rest = path
    return {head: _nested(rest, value) if rest else value}


def _scheduled(lr: float, shape: Mapping[str, Any]) -> Any:
    """A learning rate times the scheduler's factor."""
    if not shape:
        return lr
    return {**shape, "from": lr * shape["from"], "to": float(f"{lr * shape['to']:.9g}")}


def _factor(scheduler: Mapping[str, Any], steps: int | None) -> tuple[dict[str, Any], list[Note]]:
    """The factor on learning rates as a schedule of ours, empty for none."""
    name, arguments = scheduler.get("name"), scheduler.get("args") or {}
    if not name:
        return {}, []
    if scheduler.get("interval", "epoch") == "epoch" and name != "SequentialLR":
        why = "it counts epochs, of which a run of theirs has one: it never changed anything"
        return {}, [Note("changed", SCHEDULER, why)]
    if name == "SequentialLR":
        return _sequential(scheduler, steps)
    shape = _single(name, arguments, 0, steps)
    return shape, [] if shape else [_lost(name)]


def _sequential(scheduler: Mapping[str, Any], steps: int | None) -> tuple[dict[str, Any], list[Note]]:
    """A warm-up and what follows; one slope is all that a schedule has here, so the warm-up goes."""
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
        end = float(f"{gamma ** (steps - start):.9g}")  # a root was taken, and is undone here
        return {"from": 1.0, "to": end, **begin, "until_step": steps, "curve": "exponential"}
    if name == "LinearLR":
        total = int(arguments.get("total_iters", 5))
        first, last = arguments.get("start_factor", 1 / 3), arguments.get("end_factor", 1.0)
        return {"from": float(first), "to": float(last), **begin, "until_step": start + total}
    if name == "CosineAnnealingLR" and not arguments.get("eta_min") and "T_max" in arguments:
        return {"from": 1.0, "to": 0.0, **begin, "until_step": start + int(arguments["T_max"]), "curve": "cosine"}
    return {}


def _lost(name: str) -> Note:
    return Note(
        "lost", SCHEDULER, f"{name} is no straight line, exponential or cosine; the learning rate stays as it is"
    )
