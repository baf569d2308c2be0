"""Vehicles modelled in code, moving toward +x."""

from __future__ import annotations

import numpy as np

from bozzetto_priors.objects.modelled_in_code.shapes import (
    RGB,
    Model,
    Pick,
    around,
    ball,
    box,
    curve,
    cylinder,
    faces_of,
    lathe,
    plate,
    ring,
    shaded,
    tube,
    turned,
)

GLASS, TYRE, STEEL, WOOD, WHITE = (
    (0.55, 0.78, 0.92),
    (0.1, 0.1, 0.11),
    (0.62, 0.64, 0.68),
    (0.5, 0.32, 0.16),
    (0.97, 0.97, 0.97),
)


def wheel(model: Model, x: float, y: float, radius: float, width: float, hub: RGB) -> None:
    """Add a wheel with its axle along y, standing on z = 0."""
    model.add(TYRE, cylinder(radius, width), (x, y + width / 2, radius), (90, 0, 0))
    model.add(hub, cylinder(radius * 0.55, width * 1.15), (x, y + width * 0.575, radius), (90, 0, 0))


def tractor(pick: Pick) -> Model:
    model, paint = Model(), pick.of((0.85, 0.12, 0.1), (0.2, 0.55, 0.2))
    rim = pick.of((0.95, 0.9, 0.85), (0.98, 0.83, 0.15))
    for side in (-1, 1):
        wheel(model, -0.65, side * 0.62, 0.72, 0.36, rim)
        wheel(model, 0.95, side * 0.5, 0.42, 0.28, rim)
        model.add(paint, box(0.9, 0.34, 0.08), (-0.62, side * 0.6, 1.5), (0, 0, 0))
        model.add((1.0, 0.95, 0.6), cylinder(0.12, 0.08), (1.4, side * 0.22, 1.02), (0, 90, 0))
        for x in (-0.95, 0.0):
            model.add(TYRE, box(0.08, 0.08, 0.95), (x, side * 0.4, 1.75))
    model.add(paint, box(1.5, 0.66, 0.6), (0.65, 0, 0.95))
    model.add(TYRE, box(0.06, 0.5, 0.42), (1.4, 0, 0.85))
    model.add((0.25, 0.25, 0.27), box(2.0, 0.4, 0.3), (0.2, 0, 0.6))
    model.add(GLASS, box(0.9, 0.74, 0.7), (-0.48, 0, 1.72))
    model.add(paint, box(1.2, 0.98, 0.12), (-0.48, 0, 2.24))
    model.add(paint, box(1.0, 0.8, 0.5), (-0.48, 0, 1.2))
    model.add(TYRE, cylinder(0.07, 0.65), (0.85, 0.2, 1.2))
    return model


def train(pick: Pick) -> Model:
    model, paint, trim = Model(), pick.of((0.8, 0.12, 0.12), (0.12, 0.35, 0.65)), (0.95, 0.75, 0.2)
    model.add((0.2, 0.2, 0.22), box(2.8, 0.8, 0.2), (0, 0, 0.5))
    model.add(paint, cylinder(0.46, 1.75), (-0.35, 0, 1.05), (0, 90, 0))
    for x in (0.0, 0.6, 1.3):
        model.add(trim, cylinder(0.475, 0.08), (x, 0, 1.05), (0, 90, 0))
    model.add((0.15, 0.15, 0.17), cylinder(0.4, 0.06), (1.4, 0, 1.05), (0, 90, 0))
    model.add((1.0, 0.95, 0.6), cylinder(0.15, 0.14), (1.4, 0, 1.32), (0, 90, 0))
    model.add((0.15, 0.15, 0.17), lathe([(0.14, 1.4), (0.14, 1.85), (0.27, 2.1), (0.27, 2.16)]), (1.0, 0, 0))
    model.add(trim, ball(0.2, 0.2, 0.24), (0.3, 0, 1.5))
    model.add(paint, box(0.95, 0.95, 1.35), (-0.85, 0, 1.25))
    model.add((0.2, 0.2, 0.22), box(1.2, 1.15, 0.12), (-0.85, 0, 1.98))
    for side in (-1, 1):
        model.add(GLASS, box(0.5, 0.05, 0.45), (-0.85, side * 0.47, 1.55))
        model.add(GLASS, box(0.05, 0.22, 0.3), (-0.38, side * 0.28, 1.68))
        for x in (-0.95, -0.15, 0.65):
            wheel(model, x, side * 0.42, 0.36, 0.14, trim)
        model.add(STEEL, box(1.8, 0.06, 0.1), (-0.15, side * 0.55, 0.36))
        model.add((0.85, 0.12, 0.12), box(0.1, 0.3, 0.2), (1.42, side * 0.25, 0.5))
    model.add(
        (0.3, 0.3, 0.32), plate([(-0.5, 0.0), (0.5, 0.0), (0.3, 0.42), (-0.3, 0.42)], 0.12), (1.55, 0, 0.05), (0, 28, 0)
    )
    return model


def sailboat(pick: Pick) -> Model:
    model = Model()
    hull, sail = pick.of(((0.75, 0.12, 0.12), WHITE), ((0.15, 0.3, 0.6), (0.98, 0.85, 0.6)))
    body = ball(1.5, 0.55, 0.6)
    body.vertices[:, 2] = np.minimum(body.vertices[:, 2], 0.0)
    model.add(hull, body, (0, 0, 0.6))
    model.add(WHITE, body, (0, 0, 0.62), scale=(1.03, 1.05, 0.2))
    model.add(WOOD, cylinder(1.0, 0.05), (0, 0, 0.6), scale=(1.45, 0.5, 1))
    model.add(hull, box(0.6, 0.5, 0.22), (-0.45, 0, 0.72))
    model.add(WOOD, cylinder(0.055, 2.7), (0.15, 0, 0.6))
    model.add(WOOD, cylinder(0.045, 1.35), (0.15, 0, 0.95), (0, -90, 0))
    model.add(sail, plate([(0.0, 0.0), (1.25, 0.0), (0.02, 2.1)], 0.06), (0.08, 0.0, 1.02), (0, 0, 68))
    model.add(sail, plate([(0.0, 0.0), (0.0, 1.9), (-1.05, 0.0)], 0.05), (0.28, 0, 1.0), (0, 0, 76))
    stripe = pick.of((0.85, 0.12, 0.12), (0.15, 0.45, 0.75))
    model.add(stripe, plate([(0.0, 0.0), (0.95, 0.0), (0.83, 0.2), (0.0, 0.2)], 0.08), (0.08, 0, 1.4), (0, 0, 68))
    model.add(stripe, plate([(0.0, 0.0), (0.42, 0.12), (0.0, 0.24)], 0.04), (0.15, 0, 3.1), (0, 0, 90))
    return model


def submarine(pick: Pick) -> Model:
    model, paint = Model(), pick.of((0.98, 0.78, 0.1), (0.45, 0.5, 0.55))
    dark = pick.of((0.85, 0.2, 0.12), (0.2, 0.25, 0.3))
    model.add(
        paint,
        turned([(0.05, -1.5), (0.35, -1.2), (0.56, -0.5), (0.56, 0.5), (0.48, 1.1), (0.25, 1.42), (0, 1.5)]),
        turn=(0, 90, 0),
    )
    model.add(dark, lathe([(0.57, -0.12), (0.57, 0.12)]), turn=(0, 90, 0))
    model.add(paint, lathe([(0.34, 0.4), (0.3, 0.95)]), (0.1, 0, 0), scale=(1.5, 0.85, 1))
    model.add(dark, lathe([(0.32, 0.93), (0.32, 1.0)]), (0.1, 0, 0), scale=(1.5, 0.85, 1))
    model.add(dark, tube(curve([(0.15, 0, 0.9), (0.15, 0, 1.4), (0.2, 0, 1.5), (0.4, 0, 1.52)]), 0.07))
    for side in (-1, 1):
        for x in (-0.55, 0.0, 0.55):
            model.add(dark, cylinder(0.2, 0.06), (x + 0.1, side * 0.5, 0.12), (-90 * side, 0, 0))
            model.add(GLASS, ball(0.14, 0.06, 0.14), (x + 0.1, side * 0.56, 0.12))
        model.add(dark, box(0.4, 0.45, 0.06), (-1.15, side * 0.42, 0))
    model.add(dark, box(0.4, 0.06, 1.25), (-1.15, 0, 0))
    model.add(GLASS, ball(0.2, 0.27, 0.27), (1.32, 0, 0.05))
    for a in (0, 90):
        model.add(STEEL, box(0.06, 0.8, 0.16), (-1.55, 0, 0), (a + 20, 0, 0))
    return model


def airplane(pick: Pick) -> Model:
    model = Model()
    body, trim = pick.of((WHITE, (0.1, 0.35, 0.75)), ((0.98, 0.8, 0.15), (0.85, 0.15, 0.12)))
    model.add(
        body,
        turned([(0.05, -1.75), (0.16, -1.5), (0.36, -0.7), (0.38, 0.8), (0.3, 1.25), (0.16, 1.45), (0, 1.5)]),
        turn=(0, 90, 0),
    )
    model.add(trim, lathe([(0.385, -0.5), (0.388, 0.75)]), (0, 0, -0.06), (0, 90, 0), (1, 1, 0.86))
    model.add(body, lathe([(0.385, -0.55), (0.39, 0.8)]), (0, 0, 0.04), (0, 90, 0))
    wing = [(-0.1, 0.55), (-1.75, -0.35), (-1.75, -0.65), (-0.1, -0.45)]
    tail = [(-0.05, 0.25), (-0.72, -0.12), (-0.72, -0.3), (-0.05, -0.25)]
    for side in (-1, 1):
        for shape, x, z, colour in ((wing, 0.15, -0.12, trim), (tail, -1.45, 0.1, trim)):
            flip = [(-y, u) for y, u in reversed(shape)] if side > 0 else shape
            model.add(colour, plate(flip, 0.09), (x, 0, z), (0, 90, 0), (1, 1, -1))
        model.add(
            STEEL, turned([(0.1, -0.4), (0.17, -0.1), (0.18, 0.2), (0.14, 0.3)]), (0.3, side * 0.8, -0.28), (0, 90, 0)
        )
        model.add((0.2, 0.3, 0.4), box(0.12, 0.18, 0.13), (1.24, side * 0.14, 0.17), (0, 40, side * 20))
        for x in np.linspace(-0.8, 0.9, 8):
            model.add((0.2, 0.3, 0.4), ball(0.06, 0.03, 0.07), (x, side * 0.385, 0.1))
    model.add(trim, plate([(-0.15, 0.0), (0.45, 0.0), (0.62, 0.75), (0.35, 0.75)], 0.08), (-1.2, 0, 0.15), (0, 0, 90))
    return model


def helicopter(pick: Pick) -> Model:
    model, paint, trim = Model(), pick.of((0.85, 0.15, 0.12), (0.2, 0.45, 0.75)), pick.of(WHITE, (0.98, 0.83, 0.2))
    model.add(paint, ball(0.95, 0.58, 0.6), (0.2, 0, 0.9))
    model.add(GLASS, ball(0.62, 0.5, 0.46), (0.6, 0, 1.0))
    model.add(paint, box(0.08, 0.1, 0.5), (1.12, 0, 1.15), (0, -35, 0))
    model.add(paint, tube(curve([(-0.5, 0, 1.05), (-1.3, 0, 1.18), (-2.0, 0, 1.28)]), np.linspace(0.3, 0.1, 24)))
    model.add(trim, plate([(-0.12, 0.0), (0.25, 0.0), (0.42, 0.6), (0.18, 0.6)], 0.08), (-1.85, 0, 1.2), (0, 0, 90))
    model.add(trim, box(0.24, 0.75, 0.06), (-1.6, 0, 1.22))
    model.add(STEEL, cylinder(0.32, 0.03), (-2.05, 0.12, 1.55), (-90, 0, 0))
    model.add(trim, lathe([(0.6, 0.84), (0.6, 0.98)]), (0.2, 0, 0.0), scale=(1.58, 0.98, 1))
    model.add((0.25, 0.25, 0.28), cylinder(0.07, 0.45), (0.05, 0, 1.4))
    for a in (25, 115):
        model.add((0.2, 0.2, 0.22), box(3.3, 0.16, 0.04), (0.05, 0, 1.84), (0, 0, a))
    model.add(STEEL, ball(0.15, 0.15, 0.08), (0.05, 0, 1.86))
    for side in (-1, 1):
        skid = curve([(-0.7, side * 0.5, 0.05), (0.8, side * 0.5, 0.05), (1.05, side * 0.5, 0.18)])
        model.add((0.25, 0.25, 0.28), tube(skid, 0.06))
        for x in (-0.3, 0.55):
            model.add((0.25, 0.25, 0.28), tube(curve([(x, side * 0.5, 0.05), (x, side * 0.25, 0.5)]), 0.05))
    return model


def hot_air_balloon(pick: Pick) -> Model:
    model = Model()
    colours = pick.of(
        ((0.88, 0.15, 0.15), (0.98, 0.85, 0.2)), ((0.15, 0.4, 0.8), WHITE), ((0.55, 0.2, 0.65), (0.98, 0.6, 0.2))
    )
    profile = curve([(0.2, 0.95), (0.42, 1.2), (0.85, 1.7), (1.05, 2.25), (0.9, 2.8), (0.5, 3.15), (0.0, 3.28)], 26)
    whole = lathe([tuple(p) for p in profile], 48)
    middles = whole.triangles_center
    stripe = np.floor((np.degrees(np.arctan2(middles[:, 1], middles[:, 0])) + 22.5) % 360 / 45).astype(int) % 2
    for k, colour in enumerate(colours):
        model.add(colour, faces_of(whole, stripe == k))
    model.add(colours[0], lathe([(0.24, 0.93), (0.32, 1.05)]))
    model.add((0.6, 0.4, 0.2), lathe([(0.22, 0.0), (0.28, 0.36), (0.24, 0.36), (0.22, 0.2)], 8))
    model.add((0.4, 0.25, 0.12), ring(0.27, 0.04), (0, 0, 0.36))
    for x, y, _ in around(4, 0.24, 45.0):
        model.add((0.3, 0.25, 0.2), tube(np.linspace((x, y, 0.3), (x * 1.1, y * 1.1, 0.98), 4), 0.025, 6))
    return model


def rocket(pick: Pick) -> Model:
    model = Model()
    body, trim = pick.of(
        (WHITE, (0.85, 0.12, 0.12)), ((0.75, 0.78, 0.82), (0.15, 0.4, 0.8)), ((0.98, 0.85, 0.3), (0.9, 0.35, 0.1))
    )
    tall = pick.of(1.0, 1.18, 0.9)
    hull = curve([(0.36, 0.35), (0.52, 0.8), (0.6, 1.4), (0.5, 2.1), (0.3, 2.6), (0.12, 2.92), (0.0, 3.05)], 50)
    model.add(body, lathe([tuple(p) for p in hull if p[1] < 2.2]), scale=(1, 1, tall))
    model.add(trim, lathe([tuple(p) for p in hull if p[1] > 2.12]), scale=(1, 1, tall))
    model.add(trim, lathe([(0.49, 0.62), (0.545, 0.82)]), scale=(1, 1, tall))
    model.add(STEEL, cylinder(0.42, 0.35, 0.3), (0, 0, 0.08))
    fin = [(0.3, 1.15), (0.35, 0.35), (0.62, -0.05), (0.98, -0.15), (0.92, 0.45), (0.6, 0.95)]
    for a in (45, 135, 225, 315):
        model.add(trim, plate(fin, 0.1), turn=(0, 0, a))
    model.add(STEEL, cylinder(0.28, 0.1), (0.5, 0, 1.72 * tall), (0, 86, 0))
    model.add((0.2, 0.45, 0.75), ball(0.06, 0.21, 0.21), (0.6, 0, 1.72 * tall))
    for x, y, r in ((0.05, 0.12, 0.2), (-0.08, -0.1, 0.18), (0.05, -0.02, 0.14)):
        model.add((1.0, 0.62, 0.1), cylinder(0.02, 0.5, r), (x, y, -0.38))
    return model


def flying_saucer(pick: Pick) -> Model:
    model = Model()
    metal, lights = pick.of(((0.7, 0.72, 0.76), (0.95, 0.2, 0.2)), ((0.35, 0.65, 0.4), (0.98, 0.85, 0.2)))
    model.add(metal, turned([(0.35, -0.32), (0.9, -0.18), (1.5, 0.0), (1.5, 0.08), (0.95, 0.28), (0.55, 0.4)]))
    model.add(shaded(metal, 0.65), ring(1.48, 0.06), (0, 0, 0.04))
    model.add(GLASS, ball(0.6, 0.6, 0.55), (0, 0, 0.38))
    model.add(shaded(metal, 0.65), ring(0.6, 0.06), (0, 0, 0.4))
    for x, y, _ in around(10, 1.18):
        model.add(lights, ball(0.13, 0.13, 0.08), (x, y, 0.2))
    for x, y, _ in around(3, 0.7, 60.0):
        model.add(STEEL, tube(np.linspace((x, y, -0.2), (x * 1.35, y * 1.35, -0.7), 4), 0.05))
        model.add(STEEL, ball(0.14, 0.14, 0.06), (x * 1.35, y * 1.35, -0.7))
    model.add((0.4, 0.75, 0.3), ball(0.22, 0.22, 0.26), (0.1, 0, 0.65))
    model.add(lights, ball(0.09), (0, 0, 0.98))
    return model


BUILDERS = {
    "tractor": tractor, "train": train, "sailboat": sailboat, "submarine": submarine, "airplane": airplane,
    "helicopter": helicopter, "hot-air-balloon": hot_air_balloon, "rocket": rocket, "flying-saucer": flying_saucer,
}  # fmt: skip
