"""Manifest of the built-in losses."""

from collections.abc import Iterable

from bozzetto import ComponentSpec, hookimpl

HERE = "bozzetto_plugins.loss"

LOSSES = (
    ("sparsity", "Sparsity", "Mean smoothed opacity; removes density that does not help (threestudio).", ()),
    ("opacity-entropy", "OpacityEntropy", "Entropy of opacities; drives each to 0 or 1 (stable-dreamfusion).", ()),
    ("opaque", "Opaque", "Entropy of pixel opacities in nats, in threestudio's form.", ()),
    ("orientation", "Orientation", "Penalises normals that face away (Ref-NeRF, eq. 11).", ("normal", "volume")),
    ("total-variation", "TotalVariation", "Squared difference of neighbouring grid parameters.", ()),
    ("normal-smoothness-2d", "NormalSmoothness2d", "Difference of the normals of adjacent pixels.", ("normal",)),
    ("normal-smoothness-3d", "NormalSmoothness3d", "Difference of normals at nearby points.", ("normal", "volume")),
    ("distortion", "Distortion", "Concentrates the weights along each ray (mip-NeRF 360, eq. 15).", ("volume",)),
    ("normal-consistency", "NormalConsistency", "Angle between the normals of adjacent triangles.", ("mesh",)),
    ("laplacian-smoothness", "LaplacianSmoothness", "Laplacian of the vertex positions (Desbrun 1999).", ("mesh",)),
    ("edge-length", "EdgeLength", "Mean squared edge length; evens out triangles, tightens the surface.", ("mesh",)),
    ("eikonal", "Eikonal", "Signed distances have gradient norm 1 (IGR, eq. 2).", ("sdf",)),
    ("reference-color", "ReferenceColor", "Colour error against the photo, inside its mask.", ("reference",)),
    ("reference-mask", "ReferenceMask", "Error of the rendered opacity against the photo's mask.", ("reference",)),
    (
        "reference-depth-correlation",
        "ReferenceDepthCorrelation",
        "Pearson correlation with a depth map of unknown scale.",
        ("reference",),
    ),
    ("reference-normal", "ReferenceNormal", "Angular error against a normal map.", ("reference", "normal")),
    ("weight-decay", "WeightDecay", "Mean squared parameter of the geometry.", ()),
)
"""Name, class, summary and required capabilities of each loss."""


@hookimpl
def bozzetto_components() -> Iterable[ComponentSpec]:
    """Declare the built-in losses."""
    for name, target, summary, needs in LOSSES:
        yield ComponentSpec(
            kind="loss",
            name=name,
            target=f"{HERE}.{name.replace('-', '_')}:{target}",
            config=f"{HERE}.config:{target}Config",
            summary=summary,
            needs=frozenset(needs),
        )
