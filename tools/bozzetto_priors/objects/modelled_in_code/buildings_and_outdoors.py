"""Buildings and outdoor objects modelled in code; doors and faces are toward +x."""

from __future__ import annotations

import numpy as np

from bozzetto_priors.objects.modelled_in_code.shapes import (
    RGB,
    Model,
    Pick,
    Point,
    around,
    ball,
    box,
    curve,
    cylinder,
    lathe,
    plate,
    ring,
    shaded,
    tube,
    turned,
)

WHITE, WOOD, DARK, GLASS, STONE = (
    (0.97, 0.97, 0.97),
    (0.48, 0.3, 0.15),
    (0.15, 0.13, 0.12),
    (0.6, 0.82, 0.95),
    (0.66, 0.64, 0.6),
)
GREEN = (0.22, 0.55, 0.2)


def cactus(pick: Pick) -> Model:
    model, green = Model(), pick.of((0.2, 0.58, 0.25), (0.35, 0.62, 0.3))
    model.add((0.78, 0.4, 0.2), lathe([(0.45, 0.0), (0.6, 0.6), (0.68, 0.6), (0.68, 0.78), (0.55, 0.78)]))
    model.add((0.3, 0.2, 0.12), cylinder(0.58, 0.02), (0, 0, 0.74))

    def limb(path: list[Point], radius: float) -> None:
        line = curve(path, 30)
        model.add(green, tube(line, radius, 12))
        model.add(green, ball(radius * 1.02), tuple(line[-1]))

    limb([(0, 0, 0.7), (0, 0, 1.6), (0, 0, 2.5)], 0.34)
    left, right = pick.of((1.25, 1.55), (1.6, 1.2))
    limb([(0, 0.2, left), (0, 0.62, left + 0.02), (0, 0.78, left + 0.2), (0, 0.8, left + 0.7)], 0.19)
    limb([(0, -0.2, right), (0, -0.6, right + 0.02), (0, -0.76, right + 0.2), (0, -0.78, right + 0.55)], 0.19)
    for z in np.linspace(0.95, 2.5, 8):
        for x, y, _ in around(8, 0.35, 22.0 * (round(z * 10) % 2)):
            model.add((0.95, 0.95, 0.8), ball(0.03), (x, y, z))
    if pick.number:
        for x, y, _ in around(6, 0.14):
            model.add((0.95, 0.35, 0.6), ball(0.13), (x, y, 2.85))
        model.add((0.98, 0.85, 0.2), ball(0.1), (0, 0, 2.92))
    return model


def traffic_light(pick: Pick) -> Model:
    model, case = Model(), pick.of((0.15, 0.16, 0.17), (0.9, 0.72, 0.1))
    model.add((0.35, 0.36, 0.38), cylinder(0.1, 1.6))
    model.add((0.35, 0.36, 0.38), cylinder(0.32, 0.1))
    model.add(case, box(0.5, 0.72, 1.75), (0, 0, 2.35))
    for z, colour in ((2.88, (0.95, 0.1, 0.1)), (2.35, (1.0, 0.78, 0.1)), (1.82, (0.15, 0.8, 0.3))):
        model.add(colour, ball(0.08, 0.21, 0.21), (0.26, 0, z))
        hood = lathe([(0.25, 0.0), (0.25, 0.3), (0.22, 0.3), (0.22, 0.0)])
        hood.update_faces(
            (hood.triangles_center[:, 0] < 0.1) & (np.linalg.norm(hood.triangles_center[:, :2], axis=1) > 0.2)
        )
        model.add((0.08, 0.08, 0.09), hood, (0.25, 0, z), (0, 90, 0))
    return model


def tree(pick: Pick) -> Model:
    model = Model()
    if pick.number == 1:
        model.add(WOOD, cylinder(0.17, 0.8, 0.14))
        for r, z, h in ((0.95, 0.55, 1.0), (0.78, 1.15, 0.95), (0.56, 1.75, 0.95)):
            model.add((0.13, 0.42, 0.2), cylinder(r, h, 0.02, 24), (0, 0, z))
        return model
    summer, autumn = (0.28, 0.6, 0.2), (0.9, 0.5, 0.12)
    leaf = pick.of(summer, summer, autumn)
    model.add(WOOD, tube(curve([(0, 0, 0), (0.03, 0, 0.5), (0, 0.02, 1.3)]), np.linspace(0.22, 0.12, 24)))
    for side in (-1, 1):
        model.add(WOOD, tube(curve([(0, 0, 0.8), (0.1, side * 0.35, 1.2), (0.1, side * 0.5, 1.5)]), 0.08))
    for x, y, z, r in (
        (0, 0, 2.2, 0.62),
        (0.35, 0.4, 1.75, 0.5),
        (0.35, -0.4, 1.7, 0.52),
        (-0.4, 0.3, 1.75, 0.52),
        (-0.35, -0.42, 1.85, 0.5),
        (0, 0, 1.65, 0.6),
    ):
        shade = pick.between(0.85, 1.1)
        model.add(shaded(leaf, shade), ball(r, r, r * 0.92), (x, y, z))
    if pick.number == 0:
        for _ in range(16):
            a, h = pick.between(0, 360), pick.between(-0.35, 0.7)
            r = 0.82 * np.sqrt(max(0.1, 1 - h * h))
            model.add(
                (0.85, 0.12, 0.1), ball(0.09), (r * np.cos(np.radians(a)), r * np.sin(np.radians(a)), 1.85 + h * 0.75)
            )
    return model


def window(model: Model, x: float, y: float, z: float, frame: RGB, yaw: float = 0.0, size: float = 0.4) -> None:
    """Add a framed window with a cross, facing the direction `yaw`."""
    model.add(frame, box(0.06, size * 1.2, size * 1.2), (x, y, z), (0, 0, yaw))
    model.add(GLASS, box(0.08, size, size), (x, y, z), (0, 0, yaw))
    model.add(frame, box(0.09, 0.05, size), (x, y, z), (0, 0, yaw))
    model.add(frame, box(0.09, size, 0.05), (x, y, z), (0, 0, yaw))


def house(pick: Pick) -> Model:
    model = Model()
    wall, roof, door = pick.of(
        ((0.95, 0.88, 0.7), (0.75, 0.22, 0.15), (0.3, 0.45, 0.3)),
        ((0.7, 0.82, 0.92), (0.3, 0.32, 0.38), (0.85, 0.3, 0.2)),
        ((0.85, 0.5, 0.4), (0.4, 0.25, 0.15), WHITE),
    )
    depth = pick.of(1.5, 1.9, 1.3)
    model.add((0.5, 0.5, 0.5), box(depth + 0.15, 1.95, 0.12), (0, 0, 0.06))
    model.add(wall, plate([(-0.85, 0.1), (0.85, 0.1), (0.85, 1.15), (0.0, 1.85), (-0.85, 1.15)], depth))
    for side in (-1, 1):
        model.add(roof, box(depth + 0.35, 1.3, 0.12), (0, side * 0.5, 1.54), (-side * 39.5, 0, 0))
    model.add(door, box(0.08, 0.42, 0.75), (depth / 2, pick.of(0.0, 0.3, 0.0), 0.5))
    model.add((0.95, 0.8, 0.2), ball(0.05), (depth / 2 + 0.06, pick.of(0.13, 0.43, 0.13), 0.48))
    for y in pick.of((-0.52, 0.52), (-0.35,), (-0.52, 0.52)):
        window(model, depth / 2, y, 0.72, WHITE, size=0.3)
    model.add(GLASS, cylinder(0.17, 0.06), (depth / 2, 0, 1.38), (0, 90, 0))
    for side in (-1, 1):
        for x in (-0.35, 0.35):
            window(model, x, side * 0.85, 0.7, WHITE, 90, 0.3)
    model.add((0.6, 0.3, 0.22), box(0.26, 0.26, 0.7), (-0.3, 0.45, 1.85))
    model.add(DARK, box(0.3, 0.3, 0.06), (-0.3, 0.45, 2.2))
    return model


def castle(pick: Pick) -> Model:
    model, stone = Model(), pick.of(STONE, (0.85, 0.74, 0.55))
    dark, roof = shaded(stone, 0.72), pick.of((0.2, 0.35, 0.7), (0.8, 0.2, 0.18))
    model.add(stone, box(1.7, 1.7, 0.95), (0, 0, 0.48))
    for side in (-1, 1):
        for t in np.linspace(-0.6, 0.6, 5):
            model.add(stone, box(0.14, 0.16, 0.18), (side * 0.8, t, 1.02))
            model.add(stone, box(0.16, 0.14, 0.18), (t, side * 0.8, 1.02))
    for x, y, high in ((0.85, 0.85, 1.4), (0.85, -0.85, 1.4), (-0.85, 0.85, 1.6), (-0.85, -0.85, 1.6), (-0.1, 0, 2.1)):
        r = 0.34 if high < 2 else 0.45
        model.add(stone, cylinder(r, high), (x, y, 0))
        model.add(dark, cylinder(r * 1.15, 0.16), (x, y, high - 0.16))
        model.add(roof, cylinder(r * 1.2, 0.65, 0.01), (x, y, high))
        model.add(DARK, box(0.06, 0.1, 0.26), (x + r, y, high * 0.72))
    model.add(
        WOOD,
        plate([(-0.28, 0.0), (0.28, 0.0), (0.28, 0.45), (0.18, 0.62), (0, 0.7), (-0.18, 0.62), (-0.28, 0.45)], 0.08),
        (0.86, 0, 0),
    )
    model.add(DARK, box(0.04, 0.04, 0.68), (0.9, 0, 0.34))
    model.add(DARK, cylinder(0.025, 0.55), (-0.1, 0, 2.7))
    model.add((0.95, 0.8, 0.15), plate([(0, 0), (0.45, 0.13), (0, 0.26)], 0.03), (-0.1, 0, 2.95))
    return model


def windmill(pick: Pick) -> Model:
    model = Model()
    wall, cap = pick.of((WHITE, (0.75, 0.2, 0.15)), ((0.62, 0.42, 0.28), (0.3, 0.3, 0.35)))
    model.add(wall, cylinder(0.72, 1.75, 0.48, 8))
    model.add(cap, turned([(0.55, 0.0), (0.56, 0.12), (0.35, 0.42), (0.0, 0.52)]), (0, 0, 1.72))
    model.add(WOOD, ring(0.68, 0.05), (0, 0, 0.72))
    model.add(WOOD, box(0.1, 0.34, 0.6), (0.64, 0, 0.32), (0, -7, 0))
    window(model, 0.58, 0, 1.12, WOOD, size=0.22)
    model.add(DARK, cylinder(0.08, 0.4), (0.4, 0, 1.85), (0, 90, 0))
    model.add((0.85, 0.7, 0.3), ball(0.1), (0.82, 0, 1.85))
    for a in (20, 110, 200, 290):
        blade = Model()
        blade.add(WOOD, box(0.05, 0.07, 1.45), (0, 0, 0.72))
        blade.add((0.95, 0.92, 0.82), box(0.03, 0.34, 1.05), (0, 0.2, 0.88))
        for z in np.linspace(0.4, 1.38, 5):
            blade.add(WOOD, box(0.05, 0.36, 0.035), (0, 0.2, z))
        model.include(blade, (0.76, 0, 1.85), (a, 0, 0))
    return model


def lighthouse(pick: Pick) -> Model:
    model, band = Model(), pick.of((0.85, 0.12, 0.12), (0.12, 0.2, 0.4))
    model.add((0.45, 0.43, 0.4), turned([(0.95, 0.0), (0.9, 0.12), (0.6, 0.3)]))
    for i in range(6):
        low, high = 0.25 + i * 0.38, 0.63 + i * 0.38
        model.add(band if i % 2 == 0 else WHITE, lathe([(0.56 - 0.08 * low, low), (0.56 - 0.08 * high, high)]))
    model.add(DARK, cylinder(0.5, 0.08), (0, 0, 2.5))
    for x, y, _ in around(12, 0.46):
        model.add(DARK, cylinder(0.02, 0.24), (x, y, 2.56))
    model.add(DARK, ring(0.46, 0.025), (0, 0, 2.8))
    model.add((1.0, 0.92, 0.5), cylinder(0.27, 0.42), (0, 0, 2.56))
    for x, y, _ in around(6, 0.27):
        model.add(DARK, cylinder(0.025, 0.42), (x, y, 2.56))
    model.add(band, cylinder(0.4, 0.32, 0.02), (0, 0, 2.98))
    model.add(band, ball(0.07), (0, 0, 3.32))
    model.add(WOOD, box(0.1, 0.3, 0.5), (0.52, 0, 0.5), (0, -5, 0))
    for z in (1.2, 1.95):
        model.add(DARK, box(0.06, 0.14, 0.2), (0.57 - 0.08 * z, 0, z))
    return model


def igloo(pick: Pick) -> Model:
    model, ice, seam = Model(), (0.92, 0.96, 1.0), (0.68, 0.8, 0.92)
    dome = lathe([(np.cos(a), np.sin(a)) for a in np.radians(np.linspace(0, 90, 24))], 48)
    model.add(ice, dome)
    for row, lean in enumerate((18, 38, 58)):
        t = np.radians(lean)
        model.add(seam, ring(np.cos(t) * 1.0, 0.022), (0, 0, np.sin(t)))
        for _, _, a in around(10 - 2 * row, 1.0, 18.0 * row):
            path = [(1.0 * np.cos(u), 0, 1.0 * np.sin(u)) for u in np.radians(np.linspace(lean - 19, lean, 6))]
            model.add(seam, tube(path, 0.02, 6), turn=(0, 0, a))
    model.add(ice, lathe([(0.48, 0.0), (0.48, 0.55), (0.34, 0.55), (0.34, 0.0)]), (0.75, 0, 0.0), (0, 90, 0))
    model.add(DARK, cylinder(0.35, 0.42), (0.8, 0, 0.0), (0, 90, 0))
    model.add(seam, ring(0.48, 0.03), (1.3, 0, 0.0), (0, 90, 0))
    whole = Model()
    for mesh, colour in model.solids:
        clipped = mesh.copy()
        clipped.vertices[:, 2] = np.maximum(clipped.vertices[:, 2], 0.0)
        whole.add(colour, clipped)
    whole.add((0.85, 0.9, 0.95), cylinder(1.2, 0.04), (0.1, 0, -0.03))
    return whole


BUILDERS = {
    "cactus": cactus, "traffic-light": traffic_light, "tree": tree, "house": house, "castle": castle,
    "windmill": windmill, "lighthouse": lighthouse, "igloo": igloo,
}  # fmt: skip
