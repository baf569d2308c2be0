"""The built-in losses, as data."""

from collections.abc import Iterable

from bozzetto import ComponentSpec, hookimpl

HERE = "bozzetto_plugins.loss"

LOSSES = (
    ("sparsity", "Sparsity", "Mean opacity, softened: removes what does not help (threestudio).", ()),
    ("opacity-entropy", "OpacityEntropy", "Entropy of opacities: each is to be 0 or 1 (stable-dreamfusion).", ()),
    ("opaque", "Opaque", "Entropy of pixel opacities in nats, threestudio's form.", ()),
    ("orientation", "Orientation", "Visible normals must face the camera (Ref-NeRF, eq. 11).", ("normal", "volume")),
    ("total-variation", "TotalVariation", "Neighbouring parameters of a grid are to be alike.", ()),
    ("normal-smoothness-2d", "NormalSmoothness2d", "Neighbouring pixels are to have like normals.", ("normal",)),
    ("normal-smoothness-3d", "NormalSmoothness3d", "Neighbours in space have like normals.", ("normal", "volume")),
    ("distortion", "Distortion", "Weights along a ray gather in one place (mip-NeRF 360, eq. 15).", ("volume",)),
    ("normal-consistency", "NormalConsistency", "Triangles with a common edge have like normals.", ("mesh",)),
    ("laplacian-smoothness", "LaplacianSmoothness", "Each vertex lies amid its neighbours (Desbrun 1999).", ("mesh",)),
    ("edge-length", "EdgeLength", "Short edges, so triangles of like size and a tight surface.", ("mesh",)),
    ("eikonal", "Eikonal", "Signed distances grow by 1 per unit of length (IGR, eq. 2).", ("sdf",)),
    ("reference-color", "ReferenceColor", "The object has the colours of the photo.", ("reference",)),
    ("reference-mask", "ReferenceMask", "The object has the outline of the photo.", ("reference",)),
    (
        "reference-depth-correlation",
        "ReferenceDepthCorrelation",
        "Depth goes with a depth map of unknown scale (Pearson).",
        ("reference",),
    ),
    ("reference-normal", "ReferenceNormal", "Normals are those of a normal map.", ("reference", "normal")),
    ("weight-decay", "WeightDecay", "Mean squared parameter of the geometry.", ()),
)
"""Name, class, summary, needs."""


@hookimpl
def bozzetto_components() -> Iterable[ComponentSpec]:
    for name, target, summary, needs in LOSSES:
        yield ComponentSpec(
            kind="loss",
            name=name,
            target=f"{HERE}.{name.replace('-', '_')}:{target}",
            config=f"{HERE}.config:{target}Config",
            summary=summary,
            needs=frozenset(needs),
        )
