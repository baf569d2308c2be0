"""Solids from which objects are modelled in code, and the `Model` that collects them.

Right-handed world axes: +x is the front, +y the object's left, z up. Lengths are in any unit: a finished model is
rescaled. Angles are in degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import trimesh
from numpy.typing import ArrayLike

from bozzetto_priors.objects.mesh_part import Part, normalise

Point = tuple[float, float, float]
RGB = tuple[float, float, float]
CREASE_DEG = 35.0
Option = TypeVar("Option")


def place(
    mesh: trimesh.Trimesh, at: Point = (0, 0, 0), turn: Point = (0, 0, 0), scale: Point | float = 1.0
) -> trimesh.Trimesh:
    """Return `mesh` scaled, then rotated about the world's x, y and z (in that order), then moved to `at`."""
    moved: trimesh.Trimesh = mesh.copy()
    x, y, z = np.radians(turn)
    moved.apply_transform(np.diag([*(np.ones(3) * scale), 1.0]))
    moved.apply_transform(trimesh.transformations.euler_matrix(x, y, z, axes="sxyz"))
    moved.apply_translation(at)
    return moved


def box(x: float, y: float, z: float) -> trimesh.Trimesh:
    """Return a box of these side lengths centred at the origin."""
    return trimesh.creation.box((x, y, z))


def ball(x: float, y: float | None = None, z: float | None = None) -> trimesh.Trimesh:
    """Return an ellipsoid of these half axes at the origin; with one number, a ball."""
    axes = (x, y or x, z or x)
    return place(trimesh.creation.uv_sphere(1.0, count=(7, 10) if max(axes) < 0.13 else (18, 26)), scale=axes)


def lathe(profile: Sequence[tuple[float, float]], sides: int = 40, closed: bool = True) -> trimesh.Trimesh:
    """Return the surface of revolution of `profile`, points (radius, z) from bottom to top, closed by discs."""
    rings = [(0.0, profile[0][1]), *profile, (0.0, profile[-1][1])] if closed else list(profile)
    angles = np.arange(sides) * 2 * np.pi / sides
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)
    points = np.concatenate([np.column_stack([r * circle, np.full(sides, z)]) for r, z in rings])
    here = np.arange(sides)
    after = (here + 1) % sides
    faces = []
    for i in range(len(rings) - 1):
        a, b = i * sides, (i + 1) * sides
        faces += [np.stack([a + here, a + after, b + after], 1), np.stack([a + here, b + after, b + here], 1)]
    mesh = trimesh.Trimesh(points, np.concatenate(faces), process=True)
    mesh.update_faces(mesh.nondegenerate_faces())
    return mesh


def cylinder(radius: float, height: float, top: float | None = None, sides: int = 32) -> trimesh.Trimesh:
    """Return a cylinder from z = 0 to `height`; `top` is another radius there."""
    return lathe([(radius, 0.0), (radius if top is None else top, height)], sides)


def curve(points: Sequence[Sequence[float]], count: int = 24) -> np.ndarray:
    """Return `count` points of a smooth curve through `points` [N, D]."""
    from scipy.interpolate import PchipInterpolator

    knots = np.asarray(points, float)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    return PchipInterpolator(along, knots)(np.linspace(0, along[-1], count))


def turned(points: Sequence[tuple[float, float]], sides: int = 40) -> trimesh.Trimesh:
    """Return the `lathe` of a smooth curve through `points`."""
    return lathe([tuple(p) for p in curve(points)], sides)


def tube(path: ArrayLike, radius: ArrayLike, sides: int = 14) -> trimesh.Trimesh:
    """Return a pipe along `path` [N, 3] with closed ends; `radius` is one number or one per point."""
    line = np.asarray(path, float)
    radii = np.broadcast_to(np.asarray(radius, float), len(line))
    tangents = np.gradient(line, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    side = np.cross(tangents[0], [0.3, 0.5, 0.81])
    angles = np.arange(sides) * 2 * np.pi / sides
    rings = []
    for centre, tangent, r in zip(line, tangents, radii, strict=True):
        side = side - tangent * (side @ tangent)
        side /= np.linalg.norm(side)
        other = np.cross(tangent, side)
        rings.append(centre + r * (np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * other))
    points = np.concatenate([np.repeat(line[:1], sides, 0), *rings, np.repeat(line[-1:], sides, 0)])
    here = np.arange(sides)
    after = (here + 1) % sides
    faces = []
    for i in range(len(line) + 1):
        a, b = i * sides, (i + 1) * sides
        faces += [np.stack([a + here, a + after, b + after], 1), np.stack([a + here, b + after, b + here], 1)]
    mesh = trimesh.Trimesh(points, np.concatenate(faces), process=True)
    mesh.update_faces(mesh.nondegenerate_faces())
    return mesh


def arc(radius: float, start_deg: float, end_deg: float, count: int = 20) -> np.ndarray:
    """Return points [count, 3] of a circle in the plane x = 0; 0 degrees is +y, 90 is up."""
    a = np.radians(np.linspace(start_deg, end_deg, count))
    return np.stack([np.zeros(count), radius * np.cos(a), radius * np.sin(a)], 1)


def ring(radius: float, thickness: float) -> trimesh.Trimesh:
    """Return a torus about the z axis with major radius `radius` and minor radius `thickness`."""
    return trimesh.creation.torus(radius, thickness, major_sections=40, minor_sections=16)


def _cross(o: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    return float((a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]))


def triangulate(outline: np.ndarray) -> list[tuple[int, int, int]]:
    """Triangulate a simple counter-clockwise polygon "N 2" by ear clipping."""
    left, triangles = list(range(len(outline))), []
    while len(left) > 3:
        for k in range(len(left)):
            a, b, c = left[k - 1], left[k], left[(k + 1) % len(left)]
            corners = outline[[a, b, c]]
            if _cross(*corners) <= 0:
                continue
            others = outline[[i for i in left if i not in (a, b, c)]]
            inside = [all(_cross(corners[j], corners[(j + 1) % 3], p) >= 0 for j in range(3)) for p in others]
            if not any(inside):
                triangles.append((a, b, c))
                left.pop(k)
                break
        else:
            raise ValueError("outline: crosses itself or runs clockwise")
    return [*triangles, (left[0], left[1], left[2])]


def plate(outline: Sequence[tuple[float, float]], thickness: float) -> trimesh.Trimesh:
    """Return `outline`, points (y, z) counter-clockwise seen from the front, as a plate of `thickness` about x = 0."""
    flat = np.asarray(outline, float)
    count = len(flat)
    caps = np.asarray(triangulate(flat))
    front = np.column_stack([np.full(count, thickness / 2), flat])
    back = np.column_stack([np.full(count, -thickness / 2), flat])
    here = np.arange(count)
    after = (here + 1) % count
    sides = np.concatenate(
        [np.stack([here, here + count, after + count], 1), np.stack([here, after + count, after], 1)]
    )
    return trimesh.Trimesh(np.concatenate([front, back]), np.concatenate([caps, caps[:, ::-1] + count, sides]))


def shaded(colour: RGB, factor: float) -> RGB:
    """Return a colour that is darker, or lighter up to white."""
    red, green, blue = (min(1.0, factor * channel) for channel in colour)
    return red, green, blue


def faces_of(mesh: trimesh.Trimesh, chosen: np.ndarray) -> trimesh.Trimesh:
    """Return the part of a mesh with the faces for which `chosen` is true."""
    part = mesh.submesh([np.flatnonzero(chosen)], append=True)
    assert isinstance(part, trimesh.Trimesh)
    return part


def around(count: int, radius: float, start_deg: float = 0.0) -> list[tuple[float, float, float]]:
    """Return (x, y, angle in degrees) of `count` points on a circle about the z axis."""
    angles = start_deg + np.arange(count) * 360.0 / count
    return [(radius * np.cos(np.radians(a)), radius * np.sin(np.radians(a)), float(a)) for a in angles]


@dataclass
class Pick:
    """Variation of one instance of an object: its number and its random generator."""

    number: int
    rng: np.random.Generator

    def of(self, *options: Option) -> Option:
        """Return one of `options`, by the instance's number."""
        return options[self.number % len(options)]

    def between(self, low: float, high: float) -> float:
        """Return a random number in [low, high)."""
        return float(self.rng.uniform(low, high))


@dataclass
class Model:
    """Collection of coloured solids."""

    solids: list[tuple[trimesh.Trimesh, RGB]] = field(default_factory=list)

    def add(
        self, colour: RGB, mesh: trimesh.Trimesh, at: Point = (0, 0, 0), turn: Point = (0, 0, 0),
        scale: Point | float = 1.0,
    ) -> None:  # fmt: skip
        """Add a solid, transformed as by `place`."""
        self.solids.append((place(mesh, at, turn, scale), colour))

    def include(self, other: Model, at: Point = (0, 0, 0), turn: Point = (0, 0, 0), scale: Point | float = 1.0) -> None:
        """Add all solids of another model."""
        self.solids += [(place(mesh, at, turn, scale), colour) for mesh, colour in other.solids]

    def parts(self) -> list[Part]:
        """Return one part per colour for the rasteriser, in the unit frame, with creases above 35 degrees sharp."""
        points: dict[RGB, list[np.ndarray]] = {}
        normals: dict[RGB, list[np.ndarray]] = {}
        for mesh, colour in self.solids:
            shaded = trimesh.graph.smooth_shade(mesh, angle=np.radians(CREASE_DEG))
            corners = shaded.faces.reshape(-1)
            points.setdefault(colour, []).append(shaded.vertices[corners])
            normals.setdefault(colour, []).append(shaded.vertex_normals[corners])
        everything = np.concatenate([p for group in points.values() for p in group])
        centre, scale = normalise(everything.min(0), everything.max(0), everything)
        parts = []
        for colour, group in points.items():
            where = ((np.concatenate(group) - centre) * scale).astype("f4")
            no_uv = np.zeros((len(where), 2), "f4")
            parts.append(Part(where, np.concatenate(normals[colour]).astype("f4"), no_uv, (*colour, 1.0), None))
        return parts
