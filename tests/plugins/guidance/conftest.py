"""Tiny models, written once per session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bozzetto.testing.fakes import tiny_stable_diffusion, tiny_zero123


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tiny_folder(prediction_type="v_prediction", ...)`: the folder of such a model; read it, never write to it."""
    made: dict[str, Path] = {}

    def folder(**options: object) -> Path:
        key = repr(sorted(options.items()))
        if key not in made:
            made[key] = tiny_stable_diffusion(tmp_path_factory.mktemp("tiny"), **options)
        return made[key]

    return folder


@pytest.fixture(scope="session")
def zero123_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny Zero123; read it, never write to it."""
    return tiny_zero123(tmp_path_factory.mktemp("zero123") / "model")
