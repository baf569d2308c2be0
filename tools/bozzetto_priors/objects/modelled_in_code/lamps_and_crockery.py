"""Lamps and crockery modelled in code."""

from __future__ import annotations

import numpy as np

from bozzetto_priors.objects.modelled_in_code.shapes import (
    Model,
    Pick,
    around,
    ball,
    curve,
    cylinder,
    lathe,
    plate,
    ring,
    shaded,
    tube,
    turned,
)

WHITE, BRASS = (0.95, 0.95, 0.94), (0.85, 0.66, 0.25)


def lamp(pick: Pick) -> Model:
    model = Model()
    foot, shade = pick.of(((0.2, 0.45, 0.6), (0.96, 0.9, 0.75)), (BRASS, (0.25, 0.45, 0.3)))
    if pick.number:
        model.add(foot, cylinder(0.45, 0.1))
        model.add(foot, cylinder(0.07, 1.2))
        model.add(shade, lathe([(0.72, 1.1), (0.7, 1.25), (0.5, 1.5), (0.15, 1.62), (0.1, 1.62)]))
        model.add(foot, ball(0.09), (0, 0, 1.7))
        return model
    model.add(
        foot, turned([(0.3, 0.0), (0.34, 0.06), (0.18, 0.15), (0.42, 0.5), (0.36, 0.8), (0.1, 1.0), (0.08, 1.25)])
    )
    model.add(shade, lathe([(0.75, 1.1), (0.42, 1.9), (0.4, 1.9), (0.72, 1.12)]))
    model.add(foot, ring(0.74, 0.025), (0, 0, 1.12))
    model.add(foot, ring(0.42, 0.025), (0, 0, 1.9))
    return model


def vase(pick: Pick) -> Model:
    model = Model()
    glaze, band = pick.of(
        ((0.25, 0.5, 0.7), WHITE), ((0.8, 0.42, 0.25), (0.2, 0.12, 0.1)), ((0.92, 0.92, 0.88), (0.2, 0.35, 0.7))
    )
    profile = pick.of(
        [(0.35, 0.0), (0.62, 0.45), (0.7, 0.85), (0.45, 1.35), (0.25, 1.6), (0.28, 1.8), (0.42, 1.95)],
        [(0.3, 0.0), (0.32, 0.1), (0.75, 0.9), (0.72, 1.3), (0.35, 1.6), (0.45, 1.78)],
        [(0.45, 0.0), (0.5, 0.15), (0.35, 0.7), (0.32, 1.2), (0.45, 1.75), (0.62, 2.0)],
    )
    line = curve(profile, 40)
    inside = [(max(0.02, r - 0.05), z) for r, z in line[::-1] if z > 0.2]
    model.add(glaze, lathe([*map(tuple, line), *inside]))
    for low, high in ((0.4, 0.52), (0.62, 0.68)):
        z = np.linspace(low, high, 5) * line[-1, 1]
        model.add(
            band, lathe([(float(np.interp(h, line[:, 1], line[:, 0])) + 0.012, float(h)) for h in z], closed=False)
        )
    if pick.number == 1:
        for side in (-1, 1):
            model.add(glaze, tube(curve([(0, side * 0.4, 1.62), (0, side * 0.85, 1.5), (0, side * 0.72, 1.2)]), 0.07))
    return model


def teapot(pick: Pick) -> Model:
    model = Model()
    glaze, trim = pick.of(
        ((0.2, 0.4, 0.7), WHITE), ((0.85, 0.2, 0.18), (0.95, 0.85, 0.3)), ((0.75, 0.78, 0.8), (0.15, 0.13, 0.12))
    )
    tall = pick.of(1.0, 0.85, 1.15)
    model.add(glaze, turned([(0.5, 0.0), (0.8, 0.25), (0.92, 0.6), (0.78, 0.98), (0.45, 1.15)]), scale=(1, 1, tall))
    model.add(trim, ring(0.47, 0.05), (0, 0, 1.14 * tall))
    model.add(glaze, turned([(0.45, 0.0), (0.32, 0.12), (0.1, 0.18)]), (0, 0, 1.14 * tall))
    model.add(trim, ball(0.13), (0, 0, 1.42 * tall))
    spout = curve([(0, 0.7, 0.42), (0, 1.1, 0.6), (0, 1.25, 0.95), (0, 1.5, 1.18)])
    model.add(glaze, tube(spout, np.linspace(0.24, 0.09, 24)), scale=(1, 1, tall))
    handle = curve([(0, -0.7, 1.0), (0, -1.15, 1.1), (0, -1.35, 0.75), (0, -1.15, 0.4), (0, -0.78, 0.32)])
    model.add(trim, tube(handle, 0.09), scale=(1, 1, tall))
    model.add(trim, lathe([(0.9, 0.52), (0.925, 0.6), (0.9, 0.68)]), scale=(1, 1, tall))
    return model


def mug(pick: Pick) -> Model:
    model, glaze = Model(), pick.of((0.85, 0.25, 0.2), (0.2, 0.55, 0.6))
    model.add(glaze, lathe([(0.55, 0.0), (0.6, 0.05), (0.6, 1.3), (0.53, 1.3), (0.53, 0.1)]))
    model.add((0.3, 0.17, 0.08), cylinder(0.54, 0.02), (0, 0, 1.12))
    handle = curve([(0, 0.55, 1.1), (0, 0.95, 1.1), (0, 1.08, 0.7), (0, 0.95, 0.3), (0, 0.55, 0.25)])
    model.add(glaze, tube(handle, 0.1))
    if pick.number:
        model.add(WHITE, lathe([(0.605, 0.45), (0.61, 0.5), (0.61, 0.8), (0.605, 0.85)]))
    else:
        heart = [(0, -0.3), (0.3, 0.02), (0.3, 0.2), (0.16, 0.28), (0, 0.16), (-0.16, 0.28), (-0.3, 0.2), (-0.3, 0.02)]
        model.add(WHITE, plate(heart, 0.14), (0.56, 0, 0.65))
    return model


def candle(pick: Pick) -> Model:
    model, wax = Model(), pick.of((0.95, 0.92, 0.82), (0.75, 0.15, 0.15))
    model.add(BRASS, turned([(0.62, 0.0), (0.66, 0.1), (0.6, 0.12), (0.3, 0.1)]))
    model.add(BRASS, lathe([(0.3, 0.08), (0.32, 0.32), (0.26, 0.32)]))
    model.add(BRASS, ring(0.17, 0.04), (0, 0.78, 0.14), (0, 90, 0))
    model.add(wax, cylinder(0.24, 1.35), (0, 0, 0.1))
    for x, y, _ in around(5, 0.21, 20.0):
        model.add(wax, ball(0.07, 0.07, pick.between(0.12, 0.28)), (x, y, 1.32))
    model.add((0.15, 0.12, 0.1), cylinder(0.025, 0.16), (0, 0, 1.42))
    model.add((1.0, 0.55, 0.08), turned([(0.05, 1.5), (0.13, 1.65), (0.08, 1.85), (0.0, 2.02)]))
    model.add((1.0, 0.9, 0.35), ball(0.1, 0.1, 0.12), (0.05, 0, 1.63))
    return model


def watering_can(pick: Pick) -> Model:
    model, paint = Model(), pick.of((0.25, 0.6, 0.3), (0.3, 0.5, 0.8))
    dark = shaded(paint, 0.75)
    model.add(paint, lathe([(0.62, 0.0), (0.62, 0.05), (0.56, 1.0), (0.5, 1.0), (0.5, 0.6)]))
    for z in (0.12, 0.92):
        model.add(dark, ring(0.615 - 0.06 * z, 0.035), (0, 0, z))
    model.add(paint, tube(curve([(0, 0.5, 0.25), (0, 0.95, 0.7), (0, 1.35, 1.2)]), np.linspace(0.15, 0.08, 24)))
    model.add(dark, cylinder(0.08, 0.22, 0.26), (0, 1.3, 1.14), (-42, 0, 0))
    model.add(dark, tube(curve([(0, 0.3, 1.0), (0, 0.0, 1.5), (0, -0.4, 1.4), (0, -0.55, 0.98)]), 0.06))
    model.add(dark, tube(curve([(0, -0.55, 0.95), (0, -0.95, 0.8), (0, -0.9, 0.4), (0, -0.6, 0.25)]), 0.06))
    return model


BUILDERS = {
    "lamp": lamp, "vase": vase, "teapot": teapot, "mug": mug, "candle": candle,
    "watering-can": watering_can,
}  # fmt: skip
