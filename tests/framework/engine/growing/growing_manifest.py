"""Package of a geometry that grows, for tests of adaptive geometries; no torch."""

from dataclasses import dataclass

from bozzetto import ComponentSpec, hookimpl


@dataclass(frozen=True)
class GrowingConfig:
    """Settings of `growing`."""

    count: int = 6
    """Number of blobs at first."""
    every: int = 3
    """Steps between changes; 0: never."""
    fault: str = ""
    """What to do wrong, see `Growing`."""


@hookimpl
def bozzetto_components():
    for name, target in (("growing", "Growing"), ("restored", "Restored")):
        yield ComponentSpec(
            kind="geometry",
            name=name,
            target=f"growing_blobs:{target}",
            config="growing_manifest:GrowingConfig",
            summary="Blobs that grow in number.",
            provides=frozenset({"density", "features"}),
        )
