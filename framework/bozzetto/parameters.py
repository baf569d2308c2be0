"""Parameters of components as data, so that `bozzetto check` can verify them without torch.

A config may have a method `parameter_specs`, which takes the constructor arguments after the config (material: the
geometry's `feature_count`; renderer: its `radius`; others: none) and returns a `ParameterSpec` by name, empty for a
component without parameters. The contract suites compare it with the module. Components whose config has no such method
are checked when a run starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from bozzetto.errors import ConfigError, PluginError, did_you_mean, shown
from bozzetto.kinds import SYSTEM_KINDS

if TYPE_CHECKING:
    from bozzetto.recipe import Component, Stage

__all__ = [
    "PARTS",
    "ParameterSpec",
    "Specs",
    "arguments_of",
    "check_rates",
    "check_stage_rates",
    "differences",
    "linear",
    "matches",
    "specs_of",
    "stage_specs",
    "under",
    "unlike_fields",
]

PARTS = tuple(kind.key for kind in SYSTEM_KINDS if kind.is_module)
"""Parts of a stage that are trained or saved."""


@dataclass(frozen=True)
class ParameterSpec:
    """Shape of a parameter and whether it is trained."""

    shape: tuple[int, ...]
    trained: bool = True
    """True if the optimiser updates it; False: frozen."""

    @property
    def size(self) -> int:
        """Number of elements."""
        size = 1
        for side in self.shape:
            size *= side
        return size


Specs = Mapping[str, ParameterSpec]


def linear(name: str, inputs: int, outputs: int) -> dict[str, ParameterSpec]:
    """Return the weight and bias of a linear layer."""
    return {f"{name}.weight": ParameterSpec((outputs, inputs)), f"{name}.bias": ParameterSpec((outputs,))}


def under(prefix: str, specs: Specs) -> dict[str, ParameterSpec]:
    """Return the parameters of a submodule named `prefix`."""
    return {f"{prefix}.{name}": spec for name, spec in specs.items()}


def specs_of(component: Component, arguments: tuple[Any, ...]) -> dict[str, ParameterSpec] | None:
    """Return the declared parameters of a component; None without declaration, or if an argument is unknown.

    Raises:
        PluginError: its `parameter_specs` failed.
    """
    declared = getattr(component.config, "parameter_specs", None)
    if declared is None or None in arguments:
        return None
    try:
        return dict(declared(*arguments))
    except Exception as error:  # raised by the plugin's own code
        name, kind = type(component.config).__name__, type(error).__name__
        raise PluginError(f"{component.where}: {name}.parameter_specs failed: {kind}: {error}") from error


def arguments_of(part: str, stage: Stage) -> tuple[Any, ...]:
    """Return the constructor arguments of a part after its config; None for those unknown from the geometry."""
    read = {"material": ("feature_count",), "renderer": ("radius",)}
    return tuple(getattr(stage.geometry.config, name, None) for name in read.get(part, ()))


def stage_specs(stage: Stage) -> dict[str, dict[str, ParameterSpec] | None]:
    """Return the declared parameters of each part of a stage."""
    return {part: specs_of(getattr(stage, part), arguments_of(part, stage)) for part in PARTS}


def matches(name: str, prefix: str) -> bool:
    """Return whether `prefix` is a parameter's name or one of its parents."""
    return name == prefix or name.startswith(prefix + ".")


def check_rates(prefixes: Iterable[str], trained: Iterable[str], unknown: Iterable[str] = ()) -> None:
    """Check that each prefix in `lr_of` matches a parameter, or is a whole part, whose type may change.

    Args:
        trained: names of all trainable parameters.
        unknown: parts with unknown parameters; prefixes below them are accepted.

    Raises:
        ConfigError: a prefix matches no parameter.
    """
    names, unknown = list(trained), set(unknown)
    for prefix in prefixes:
        if prefix in PARTS or prefix.partition(".")[0] in unknown or any(matches(name, prefix) for name in names):
            continue
        parents = {".".join(name.split(".")[:depth]) for name in names for depth in (1, 2, 3)}
        hint, known = did_you_mean(prefix, sorted(parents)), ", ".join(sorted(p for p in parents if p.count(".") < 2))
        raise ConfigError(f"system.optimizer.lr_of.{prefix} matches no parameter.{hint} Parameters: {known}.")


def check_stage_rates(stage: Stage) -> None:
    """Apply `check_rates` to a stage, as far as its components declare their parameters."""
    declared = stage_specs(stage)
    trained = [
        f"{part}.{name}" for part, specs in declared.items() for name, spec in (specs or {}).items() if spec.trained
    ]
    unknown = [part for part, specs in declared.items() if specs is None]
    if not trained and not unknown:
        raise ConfigError(f"system.geometry: nothing of stage {stage.name!r} can be trained. Unlock it, or drop it.")
    check_rates(stage.optimizer.lr_of, trained, unknown)


def differences(part: str, stage: Stage, before: Stage) -> str:
    """Return why a part cannot take the parameters of the previous stage; empty if it can, or if this is unknown."""
    ours, theirs = getattr(stage, part), getattr(before, part)
    arguments = arguments_of(part, stage)
    our_specs, their_specs = specs_of(ours, arguments), specs_of(theirs, arguments_of(part, before))
    if our_specs is None or their_specs is None:
        return ""
    shapes, their_shapes = ({name: spec.shape for name, spec in specs.items()} for specs in (our_specs, their_specs))
    if shapes == their_shapes:
        return ""
    guilty = [
        f"{path} is {shown(theirs_)} there and {shown(ours_)} here"
        for path, ours_, theirs_ in unlike_fields(ours.config, theirs.config)
        if _decides(ours, arguments, path, theirs_, shapes)
    ]
    if guilty:
        return "; ".join(guilty)
    name = next(n for n in sorted(shapes.keys() | their_shapes.keys()) if shapes.get(n) != their_shapes.get(n))
    return f"its parameter {name} has the shape {their_shapes.get(name)} there and {shapes.get(name)} here"


def unlike_fields(ours: Any, theirs: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    """Return the dotted names of the fields in which two configs of one type differ, with both values."""
    found = []
    for item in fields(ours):
        one, other = getattr(ours, item.name), getattr(theirs, item.name)
        if is_dataclass(one) and type(one) is type(other) and hasattr(one, "parameter_specs"):
            found += unlike_fields(one, other, f"{prefix}{item.name}.")
        elif one != other:
            found.append((prefix + item.name, one, other))
    return found


def _decides(component: Component, arguments: tuple[Any, ...], path: str, value: Any, shapes: object) -> bool:
    """Return whether the shapes of parameters depend on a field."""
    try:
        changed = replace(component, config=_with(component.config, path, value))
        specs = specs_of(changed, arguments)
    except (ValueError, PluginError):
        return True  # not alone, but together with another
    return {name: spec.shape for name, spec in (specs or {}).items()} != shapes


def _with(config: Any, path: str, value: Any) -> Any:
    head, _, rest = path.partition(".")
    return replace(config, **{head: _with(getattr(config, head), rest, value) if rest else value})
