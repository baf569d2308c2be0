"""Steps of the scores that cost more than SDS: by inversion, and by an adapter that is trained beside the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from bozzetto.machine.accelerators import Accelerator
from bozzetto.registry.discovery import Registry
from gpu_check.recipes import begun, recipe_of
from gpu_check.steps import alone, measured

USUAL = "sds"
SCORES = {"sds": "sds", "ism": "luciddreamer-ism", "sdi": "sdi", "vsd": "prolificdreamer"}
"""Recipe of each score; the first one is what the others are compared with. Of several stages, the first."""


def checked(
    score: str, registry: Registry, model: Path, folder: Path, found: Accelerator, device: torch.device, tiny: bool,
    steps: int,
) -> dict[str, Any]:  # fmt: skip
    """Return a row of a score: seconds of a step at its last resolution, and memory."""

    def work() -> dict[str, Any]:
        recipe = recipe_of(SCORES[score], registry, {"text": model, "photo": model}, folder, found, tiny)
        stage = recipe.stages[0]
        return measured(stage, begun(stage, recipe, registry, device), steps, device)

    return alone({"score": score, "recipe": SCORES[score]}, work, device)


def compared(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with the seconds of a step as a multiple of those of SDS, where both were measured."""
    usual = next((row["s_per_step"] for row in rows if row["score"] == USUAL and "s_per_step" in row), None)
    return [row | ({"times_sds": row["s_per_step"] / usual} if usual and "s_per_step" in row else {}) for row in rows]
