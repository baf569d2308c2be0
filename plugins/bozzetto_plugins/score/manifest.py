"""Manifest of the built-in scores."""

from __future__ import annotations

from collections.abc import Iterator

from bozzetto import ComponentSpec, hookimpl


@hookimpl
def bozzetto_components() -> Iterator[ComponentSpec]:
    """Declare the built-in scores."""
    yield ComponentSpec(
        kind="score",
        name="distillation",
        target="bozzetto_plugins.score.distillation:Distillation",
        config="bozzetto_plugins.score.config:DistillationConfig",
        summary="Composed score distillation: SDS, CSD, NFSD, ISM, SDI, HiFA and others, by choices of a few parts",
        provides=frozenset({"score"}),
    )
