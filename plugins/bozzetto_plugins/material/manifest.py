"""Manifest of the built-in materials."""

from collections.abc import Iterable

from bozzetto import ComponentSpec, hookimpl

HERE = "bozzetto_plugins.material"


@hookimpl
def bozzetto_components() -> Iterable[ComponentSpec]:
    """Declare the built-in materials."""
    yield ComponentSpec(
        kind="material",
        name="plane-light-diffuse",
        target=f"{HERE}.plane_light_diffuse:PlaneLightDiffuse",
        config=f"{HERE}.config:PlaneLightDiffuseConfig",
        summary="Diffuse material lit by one directional light per view (stable-dreamfusion).",
        needs=frozenset({"features", "normal"}),
    )
    yield ComponentSpec(
        kind="material",
        name="point-light-diffuse",
        target=f"{HERE}.point_light_diffuse:PointLightDiffuse",
        config=f"{HERE}.config:PointLightDiffuseConfig",
        summary="Diffuse material lit by one point light per view (DreamFusion, threestudio).",
        needs=frozenset({"features", "normal"}),
    )
    yield ComponentSpec(
        kind="material",
        name="no-material",
        target=f"{HERE}.no_material:NoMaterial",
        config=f"{HERE}.config:NoMaterialConfig",
        summary="Unlit colour computed directly from the geometry's features.",
        needs=frozenset({"features"}),
    )
    yield ComponentSpec(
        kind="material",
        name="latent",
        target=f"{HERE}.latent:Latent",
        config=f"{HERE}.config:LatentConfig",
        summary="Latents of a diffusion model, and their colours by a linear map (Latent-NeRF).",
        needs=frozenset({"features"}),
    )
