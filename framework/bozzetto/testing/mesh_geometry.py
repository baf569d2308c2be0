"""Contract tests of a mesh geometry: subclass `MeshGeometryContract`, define `make`, run with pytest."""

from __future__ import annotations

import torch

from bozzetto.kinds.geometry import Geometry, MeshGeometry, module
from bozzetto.math.meshes import adjacent_faces
from bozzetto.testing.geometry import GeometryContract, weighted_sum
from bozzetto.types import TriangleMesh

__all__ = ["MeshGeometryContract", "as_surface", "signed_volume"]


class MeshGeometryContract(GeometryContract):
    """Tests of `bozzetto.kinds.geometry.MeshGeometry`, in addition to `GeometryContract`."""

    gives_normals = False
    starts_as_ball = False
    shape_is_learned = True
    """Set to False if the surface has no trainable parameters."""

    def built(self, seed: int = 0) -> MeshGeometry:
        """Return an instance with seeded weights and all levels active."""
        return as_surface(super().built(seed))

    def test_it_is_a_surface(self) -> None:
        mesh = self.built().extract_mesh()
        assert mesh.vertices.dtype == torch.float32 and mesh.faces.dtype == torch.int64
        assert mesh.uvs is None and mesh.texture is None
        assert len(mesh.faces) > 0
        assert int(mesh.faces.min()) >= 0 and int(mesh.faces.max()) < len(mesh.vertices)

    def test_the_surface_lies_in_the_cube_and_is_closed(self) -> None:
        geometry = self.built()
        mesh = geometry.extract_mesh()
        assert float(mesh.vertices.detach().abs().max()) <= geometry.radius * (1.0 + 1e-5)
        assert 2 * len(adjacent_faces(mesh.faces)) == 3 * len(mesh.faces)

    def test_faces_look_outward(self) -> None:
        assert signed_volume(self.built().extract_mesh()) > 0.0

    def test_a_surface_has_no_density(self) -> None:
        geometry = self.built()
        assert geometry.density(self.points(geometry)).count_nonzero() == 0

    def test_features_alone_are_those_of_the_whole(self) -> None:
        geometry = self.built()
        for count in (0, 64):
            points = self.points(geometry, count)
            torch.testing.assert_close(geometry.surface_features(points), geometry(points).features)

    def test_the_same_surface_each_time(self) -> None:
        geometry = self.built()
        first, second = geometry.extract_mesh(), geometry.extract_mesh()
        assert torch.equal(first.faces, second.faces) and torch.equal(first.vertices, second.vertices)

    def test_vertices_carry_gradients_if_the_shape_is_learned(self) -> None:
        assert self.built().extract_mesh().vertices.requires_grad == self.shape_is_learned

    def backward_from_everything(self, geometry: Geometry) -> None:
        super().backward_from_everything(geometry)
        vertices = as_surface(geometry).extract_mesh().vertices
        if vertices.requires_grad:
            weighted_sum(vertices).backward()

    def test_the_surface_survives_saving(self) -> None:
        saved, loaded = self.built(3), self.built(4)
        with torch.no_grad():
            for parameter in module(saved).parameters():
                parameter.add_(0.01)
        module(loaded).load_state_dict(module(saved).state_dict())
        one, two = saved.extract_mesh(), loaded.extract_mesh()
        assert torch.equal(one.faces, two.faces) and torch.equal(one.vertices, two.vertices)


def as_surface(geometry: Geometry) -> MeshGeometry:
    """Return the geometry, which must be a `MeshGeometry`."""
    assert isinstance(geometry, MeshGeometry), f"{type(geometry).__name__} must be a MeshGeometry"
    return geometry


def signed_volume(mesh: TriangleMesh) -> float:
    """Compute the enclosed volume by the divergence theorem; positive when faces point outward."""
    a, b, c = mesh.vertices.detach().double()[mesh.faces].unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6.0)
