"""`bozzetto prior check MODEL`: its arguments, and the report. No torch until a model is accepted."""

from __future__ import annotations

import argparse
import inspect
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from bozzetto.commands import Host
from bozzetto.errors import ConfigError, UserError
from bozzetto.model_files import ModelFacts, ModelJudge, facts_of
from bozzetto.runs.start import offline
from bozzetto.weights.catalogue import Catalogue
from bozzetto.weights.download import fetch
from bozzetto.weights.faults import check_header
from bozzetto.weights.plans import ModelPlan, plan
from bozzetto_prior.readers import AnyGuidance, readers_of

GUIDANCE = "stable-diffusion"
"""Guidance that is tried first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `prior`."""
    parser.description = "Say what a model is, whether a guidance can use it, and run the contract of priors on it."
    parser.add_argument("action", choices=["check"], help="what to do")
    parser.add_argument("model", metavar="MODEL", help="a folder, a single file, an alias or a hub repository")
    parser.add_argument("--guidance", metavar="NAME", help="default: the first that can use the model")
    parser.add_argument("--image-size", type=int, metavar="PIXELS", help="default: what the model was trained on")
    parser.add_argument("--no-contract", action="store_true", help="do not predict anything: read files only")


def run(options: argparse.Namespace, host: Host) -> int:
    """Print the report; return 1 if a test of the contract fails.

    Raises:
        UserError: the model cannot guide, with the reason.
    """
    registry = host.registry()
    make = partial(config_of, model=options.model, image_size=options.image_size)
    asked: Any = None
    if options.guidance is not None:
        asked = make(registry.config_type("guidance", options.guidance), options.guidance)
    any_guidance = AnyGuidance(readers_of(registry, GUIDANCE, make))
    own = asked if isinstance(asked, ModelJudge) else None
    reader: ModelJudge | None = any_guidance if asked is None else own
    try:
        found = plan(options.model, Catalogue.of(registry), offline(), reader=reader)
        told = facts(found)
        if told is not None:
            print_facts(found, reader, told)
        folder = fetch(found)
        if told is None:
            print_facts(found, reader, facts_of(options.model, folder))
        name, config = any_guidance.chosen if asked is None else (options.guidance, asked)
        if require := getattr(config, "require_weights", None):
            require(folder)
    except UserError as error:
        where = f" as {options.guidance}" if options.guidance else ""
        raise type(error)(f"It cannot guide{where}: {str(error).removeprefix('model: ')}") from error
    print(f"guidance    {name}")
    print_sizes(folder)
    print(f"branches    {', '.join(sorted(getattr(type(config), 'prior_branches', ())))}")
    if options.no_contract:
        return 0
    from bozzetto_prior.examination import examine

    return examine(registry.implementation("guidance", name), config, folder)


def config_of(schema: type, guidance: str, model: str, image_size: int | None = None) -> Any:
    """Return the settings of a guidance with a model, in float32 where it can be chosen.

    Args:
        image_size: side of the images, where it can be chosen, pixels; None: the guidance's own.

    Raises:
        ConfigError: the guidance has no model, or is no source of a prior.
    """
    names = {item.name for item in fields(schema)}
    if "model" not in names or not hasattr(schema, "prior_branches"):
        raise ConfigError(f"--guidance: {guidance!r} has no model that scores can use. Choose {GUIDANCE}.")
    given = {"model": model, "dtype": "float32", **({} if image_size is None else {"image_size": image_size})}
    return schema(
        **{name: value for name, value in given.items() if name in names & set(inspect.signature(schema).parameters)}
    )


def facts(found: ModelPlan) -> ModelFacts | None:
    """Return what a model says of itself; None before it is downloaded, and of a pickle."""
    if found.file is not None and found.folder is None:
        return ModelFacts(found.name, tensors=check_header(found.file)) if found.file.suffix == ".safetensors" else None
    return None if found.folder is None else facts_of(found.name, found.folder)


def print_facts(found: ModelPlan, reader: ModelJudge | None, told: ModelFacts) -> None:
    """Print what and where a model is."""
    print(f"model       {found.describe()}")
    if reader is not None:
        print(f"family      {reader.family_of(told)}")
    if said := told.setting("model_index.json", "_class_name"):
        print(f"pipeline    {said}")
    if told.settings:
        print(f"predicts    {_predicts(told)}")
    print(f"licence     {found.licence}")


def _predicts(told: ModelFacts) -> str:
    path = "scheduler/scheduler_config.json"
    if "FlowMatch" in str(told.setting(path, "_class_name")):
        return "velocity (flow)"
    kind = told.setting(path, "prediction_type") or "epsilon"
    return {"v_prediction": "velocity (v)", "epsilon": "noise"}.get(kind, str(kind))


def print_sizes(folder: Path) -> None:
    """Print the size of each part's weights."""
    from bozzetto.weights.folder import parts_in, weights_in

    sizes = {
        part or "weights": sum(path.stat().st_size for path in weights_in(folder / part)) for part in parts_in(folder)
    }
    each = ", ".join(f"{part} {size / 1e6:.1f} MB" for part, size in sizes.items())
    print(f"weights     {each}; {sum(sizes.values()) / 1e9:.2f} GB together")
