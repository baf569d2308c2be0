"""The parameters that a component will have, as data: so `bozzetto check` knows them without torch.

A config may have a method `parameter_specs`, which gets what the component's constructor gets after the config (a
material: the geometry's `feature_count`; a renderer: its `radius`; others: nothing) and returns a `ParameterSpec` by
name, none for a component without parameters. The contract suites compare it with the real ones. A component whose
config has no such method is looked at when a run starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from bozzetto.errors import ConfigError, PluginError, did_you_mean, shown

if TYPE_CHECKING:
    from bozzetto.recipe import Component, Stage

PARTS = ("geometry", "material", "background", "renderer")
"""The parts of a stage that are trained or saved."""


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter."""

    shape: tuple[int, ...]
    trained: bool = True
    """False: locked, no optimiser gets it."""

    @property
    def size(self) -> int:
        """Its count of numbers."""
        size = 1
        for side in self.shape:
            size *= side
        return size


Specs = Mapping[str, ParameterSpec]


def linear(name: str, inputs: int, outputs: int) -> dict[str, ParameterSpec]:
    """The weight and bias of a linear layer."""
    return {f"{name}.weight": ParameterSpec((outputs, inputs)), f"{name}.bias": ParameterSpec((outputs,))}


def under(prefix: str, specs: Specs) -> dict[str, ParameterSpec]:
    """The parameters of a module that is called `prefix` in another."""
    return {f"{prefix}.{name}": spec for name, spec in specs.items()}


def specs_of(component: Component, arguments: tuple[Any, ...]) -> dict[str, ParameterSpec] | None:
    """The parameters a component declares; None if it declares nothing, or an argument is not known either.

    Raises:
        PluginError: its `parameter_specs` failed.
    """
    declared = getattr(component.config, "parameter_specs", None)
    if declared is None or None in arguments:
        return None
    try:
        return dict(declared(*arguments))
    except Exception as error:  # of a plugin's own code
        name, kind = type(component.config).__name__, type(error).__name__
        raise PluginError(f"{component.where}: {name}.parameter_specs failed: {kind}: {error}") from error


def arguments_of(part: str, stage: Stage) -> tuple[Any, ...]:
    """Arguments of the constructor of a part after its config; None for those that the geometry does not tell."""
    read = {"material": ("feature_count",), "renderer": ("radius",)}
    return tuple(getattr(stage.geometry.config, name, None) for name in read.get(part, ()))


def stage_specs(stage: Stage) -> dict[str, dict[str, ParameterSpec] | None]:
    """The parameters that each part of a stage declares."""
    return {part: specs_of(getattr(stage, part), arguments_of(part, stage)) for part in PARTS}


def matches(name: str, prefix: str) -> bool:
    """Tell if `prefix` is a parameter's name or one of its parents."""
    return name == prefix or name.startswith(prefix + ".")


def check_rates(prefixes: Iterable[str], trained: Iterable[str], unknown: Iterable[str] = ()) -> None:
    """Check that each prefix in `lr_of` matches a parameter, or is a whole part, which may be exchanged.

    Args:
        trained: the names of all parameters that the optimiser gets.
        unknown: parts of which the parameters are not known; a prefix below one is let pass.

    Raises:
        ConfigError: one matches none.
    """
    names, unknown = list(trained), set(unknown)
    for prefix in prefixes:
        if prefix in PARTS or prefix.partition(".")[0] in unknown or any(matches(name, prefix) for name in names):
            continue
        parents = {".".join(name.split(".")[:depth]) for name in names for depth in (1, 2, 3)}
        hint, known = did_you_mean(prefix, sorted(parents)), ", ".join(sorted(p for p in parents if p.count(".") < 2))
        raise ConfigError(f"system.optimizer.lr_of.{prefix} matches no parameter.{hint} Parameters: {known}.")


def check_stage_rates(stage: Stage) -> None:
    """The same check of a stage, as far as its components declare their parameters."""
    declared = stage_specs(stage)
    trained = [
        f"{part}.{name}" for part, specs in declared.items() for name, spec in (specs or {}).items() if spec.trained
    ]
    unknown = [part for part, specs in declared.items() if specs is None]
    if not trained and not unknown:
        raise ConfigError(f"system.geometry: nothing of stage {stage.name!r} can be trained. Unlock it, or drop it.")
    check_rates(stage.optimizer.lr_of, trained, unknown)


def differences(part: str, stage: Stage, before: Stage) -> str:
    """The reason why a part of one type in both stages cannot share its parameters; empty if it can or is unknown."""
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
    """The dotted names of the fields in which two configs of one type differ, with both values."""
    found = []
    for item in fields(ours):
        one, other = getattr(ours, item.name), getattr(theirs, item.name)
        if is_dataclass(one) and type(one) is type(other) and hasattr(one, "parameter_specs"):
            found += unlike_fields(one, other, f"{prefix}{item.name}.")
        elif one != other:
            found.append((prefix + item.name, one, other))
    return found


def _decides(component: Component, arguments: tuple[Any, ...], path: str, value: Any, shapes: object) -> bool:
    """Tell if the shapes of parameters change with one field."""
    try:
        changed = replace(component, config=_with(component.config, path, value))
        specs = specs_of(changed, arguments)
    except (ValueError, PluginError):
        return True  # not alone, but together with another
    return {name: spec.shape for name, spec in (specs or {}).items()} != shapes


def _with(config: Any, path: str, value: Any) -> Any:
    head, _, rest = path.partition(".")
    return replace(config, **{head: _with(getattr(config, head), rest, value) if rest else value})
