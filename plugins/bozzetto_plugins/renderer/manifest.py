"""The built-in renderers, as data."""

from collections.abc import Iterable

from bozzetto import ComponentSpec, hookimpl

HERE = "bozzetto_plugins.renderer"


@hookimpl
def bozzetto_components() -> Iterable[ComponentSpec]:
    yield ComponentSpec(
        kind="renderer",
        name="volume",
        target=f"{HERE}.volume:Volume",
        config=f"{HERE}.config:VolumeConfig",
        summary="Emission and absorption along rays, skipping empty space.",
        provides=frozenset({"volume"}),
        needs=frozenset({"density", "features"}),
    )
    yield ComponentSpec(
        kind="renderer",
        name="mesh",
        target=f"{HERE}.mesh:Mesh",
        config=f"{HERE}.config:MeshConfig",
        summary="Rasterised triangles with smooth normals and antialiased silhouettes.",
        provides=frozenset({"normal"}),
        needs=frozenset({"mesh", "features"}),
    )
