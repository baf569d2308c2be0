"""Readers of models: the configs of all guidances that judge models, and which takes a model. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bozzetto.errors import ModelError, OtherGuidanceError, UserError
from bozzetto.model_files import ModelFacts, ModelJudge, ModelReader
from bozzetto.registry.discovery import Registry

MakeConfig = Callable[[type, str], Any]
"""Function from the class of a guidance's settings and its name to its settings with the model."""


class AnyGuidance:
    """Implements `bozzetto.model_files.ModelReader` with the first guidance that takes a model."""

    def __init__(self, configs: Mapping[str, ModelJudge]) -> None:
        self.configs = configs
        self._chosen: tuple[str, Any] | None = None

    @property
    def chosen(self) -> tuple[str, Any]:
        """Name and settings of the guidance.

        Raises:
            ModelError: no model was judged: it does not say what it is.
        """
        if self._chosen is None:
            raise ModelError("model: it does not say what it is. Name a guidance: --guidance NAME.")
        return self._chosen

    def family_of(self, facts: ModelFacts) -> str:
        """Return the name of a model's family, and remember who takes it.

        Raises:
            ModelError: no guidance takes it; the message is that of the first that judges it, not its guidance.
        """
        refusals: list[ModelError] = []
        for name, config in self.configs.items():
            if facts.tensors and not isinstance(config, ModelReader):
                continue
            try:
                family = config.family_of(facts)
            except ModelError as error:
                refusals.append(error)
                continue
            self._chosen = name, config
            return family
        raise min(refusals, key=lambda error: isinstance(error, OtherGuidanceError))

    def write_model_folder(self, file: Path, tensors: Mapping[str, Any], folder: Path) -> None:
        """Write the model of a single file with the guidance that takes it. Raises `ModelError`."""
        self.family_of(ModelFacts(str(file), tensors={name: tuple(value.shape) for name, value in tensors.items()}))
        self.chosen[1].write_model_folder(file, tensors, folder)


def readers_of(registry: Registry, first: str, make: MakeConfig) -> dict[str, ModelJudge]:
    """Return the settings of the guidances that judge models, one of them first."""
    found: dict[str, ModelJudge] = {}
    for name in sorted(registry.names("guidance"), key=lambda name: (name.rpartition("/")[2] != first, name)):
        try:
            config = make(registry.config_type("guidance", name), name)
        except UserError:  # it has no model, is no source of a prior, or its package is broken
            continue
        if isinstance(config, ModelJudge):
            found[name] = config
    return found
