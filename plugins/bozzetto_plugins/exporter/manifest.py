"""Manifest of the built-in exporters."""

from __future__ import annotations

from collections.abc import Iterator

from bozzetto import ComponentSpec, hookimpl

HERE = "bozzetto_plugins.exporter"


@hookimpl
def bozzetto_components() -> Iterator[ComponentSpec]:
    """Declare every built-in exporter."""
    yield ComponentSpec(
        kind="exporter",
        name="mesh",
        target=f"{HERE}.mesh:Mesh",
        config=f"{HERE}.config:MeshConfig",
        summary="Textured triangle mesh (.glb, .obj, .ply, .stl); each file is read back, rendered and compared",
        requires=("fast_simplification", "PIL", "scipy", "skimage", "trimesh", "xatlas"),
        needs=frozenset({"features"}),
    )
    yield ComponentSpec(
        kind="exporter",
        name="turntable",
        target=f"{HERE}.turntable:Turntable",
        config=f"{HERE}.config:TurntableConfig",
        summary="Video around the object, and a contact sheet of eight views: colour, normals, depth",
        requires=("imageio_ffmpeg", "PIL"),
        needs=frozenset({"normal"}),
    )
