"""Manifest of the built-in view sources."""

from __future__ import annotations

from collections.abc import Iterator

from bozzetto import ComponentSpec, hookimpl

HERE = "bozzetto_plugins.view_source"


@hookimpl
def bozzetto_components() -> Iterator[ComponentSpec]:
    """Declare every built-in view source."""
    yield ComponentSpec(
        kind="view-source",
        name="orbit",
        target=f"{HERE}.orbit:Orbit",
        config=f"{HERE}.config:OrbitConfig",
        summary="Random cameras on a sphere around the origin, with stratified azimuths and progressive ranges",
    )
    yield ComponentSpec(
        kind="view-source",
        name="single-image",
        target=f"{HERE}.single_image:SingleImage",
        config=f"{HERE}.config:SingleImageConfig",
        summary="The camera of a photo, for losses and guidances that compare renders with it",
        provides=frozenset({"reference"}),
    )
    yield ComponentSpec(
        kind="view-source",
        name="fixed-views",
        target=f"{HERE}.fixed_views:FixedViews",
        config=f"{HERE}.config:FixedViewsConfig",
        summary="A fixed set of cameras on rings around the origin, for guidances that keep a picture of each",
        provides=frozenset({"fixed-views"}),
    )
