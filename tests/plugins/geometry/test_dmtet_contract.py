"""Contract tests of DMTet."""

from bozzetto.testing.mesh_geometry import MeshGeometryContract
from bozzetto_plugins.geometry.dmtet import Dmtet
from bozzetto_plugins.geometry.surface_config import DmtetConfig, SurfaceFeaturesConfig

SMALL = SurfaceFeaturesConfig(levels=2, log2_table_size=8, finest_resolution=32, hidden_width=8)


class TestDmtetContract(MeshGeometryContract):
    def make(self):
        return Dmtet(DmtetConfig(resolution=6, features=SMALL))


class TestDmtetContractWithoutOffsets(MeshGeometryContract):
    def make(self):
        return Dmtet(
            DmtetConfig(resolution=6, start="ellipsoid", start_axes=(0.3, 0.4, 0.5), deform=False, features=SMALL)
        )
