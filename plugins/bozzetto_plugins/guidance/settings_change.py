"""Which settings of a guidance may change while it is used. Imports no torch."""

from __future__ import annotations

from dataclasses import fields

from bozzetto.errors import ConfigError
from bozzetto_plugins.guidance.config import StableDiffusionConfig, Zero123Config
from bozzetto_plugins.score.config import DistillationConfig


def score_of_changed(
    before: StableDiffusionConfig | Zero123Config, after: StableDiffusionConfig | Zero123Config
) -> DistillationConfig:
    """Return the score of changed settings, which differ in those of SDS only.

    Raises:
        ConfigError: another one differs, which the loaded model depends on.
    """
    for item in fields(before):
        if item.name not in before.replaced_by_score and getattr(before, item.name) != getattr(after, item.name):
            free = ", ".join(sorted(before.replaced_by_score))
            raise ConfigError(f"{item.name}: is of the loaded model, so it is fixed while training. Not so: {free}")
    return after.as_score()
