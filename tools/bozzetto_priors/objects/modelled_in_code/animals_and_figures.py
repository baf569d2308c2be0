"""Animals and figures modelled in code, facing +x."""

from __future__ import annotations

import numpy as np

from bozzetto_priors.objects.modelled_in_code.shapes import (
    Model,
    Pick,
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

WHITE, BLACK, ORANGE = (0.97, 0.97, 0.97), (0.05, 0.05, 0.06), (0.98, 0.55, 0.1)


def eyes(model: Model, x: float, y: float, z: float, size: float, white: bool = True) -> None:
    """Add a pair of eyes at (x, +-y, z), turned a little outward."""
    for side in (-1, 1):
        if white:
            model.add(WHITE, ball(size * 0.6, size, size), (x, side * y, z))
        model.add(BLACK, ball(size * 0.5, size * 0.55, size * 0.55), (x + (size * 0.4 if white else 0), side * y, z))


def cat(pick: Pick) -> Model:
    model = Model()
    fur, stripe = pick.of(((0.92, 0.55, 0.18), (0.7, 0.35, 0.08)), ((0.2, 0.2, 0.22), (0.1, 0.1, 0.11)))
    model.add(fur, ball(0.55, 0.52, 0.75), (-0.1, 0, 0.75), (0, -12, 0))
    model.add(WHITE, ball(0.3, 0.32, 0.5), (0.25, 0, 0.72), (0, -12, 0))
    model.add(fur, ball(0.46, 0.52, 0.44), (0.25, 0, 1.65))
    for side in (-1, 1):
        model.add(fur, cylinder(0.22, 0.4, 0.02, 4), (0.2, side * 0.3, 1.92), (side * -14, 0, 0))
        model.add((0.95, 0.65, 0.65), cylinder(0.12, 0.26, 0.01, 4), (0.31, side * 0.3, 1.95), (side * -14, 0, 0))
        model.add(fur, tube(curve([(0.3, side * 0.24, 1.0), (0.42, side * 0.24, 0.5), (0.45, side * 0.24, 0.1)]), 0.15))
        model.add(WHITE, ball(0.22, 0.16, 0.12), (0.52, side * 0.24, 0.1))
        model.add(fur, ball(0.42, 0.24, 0.36), (-0.15, side * 0.45, 0.36))
        model.add(WHITE, ball(0.15, 0.14, 0.12), (0.64, side * 0.1, 1.54))
        for roll in (-6, 8):
            model.add(WHITE, box(0.02, 0.5, 0.025), (0.6, side * 0.42, 1.55), (roll * side, 0, 0))
    for z, r in ((0.75, 0.5), (1.0, 0.46), (0.5, 0.5)):
        model.add(stripe, ball(0.3, r, 0.06), (-0.4 - 0.1 * (0.8 - z), 0, z), (0, -20, 0))
    model.add(stripe, ball(0.3, 0.07, 0.05), (0.3, 0, 2.05))
    model.add((0.9, 0.45, 0.5), ball(0.08, 0.09, 0.06), (0.74, 0, 1.62))
    for side in (-1, 1):
        model.add((0.55, 0.8, 0.2), ball(0.06, 0.13, 0.13), (0.64, side * 0.22, 1.76))
        model.add(BLACK, ball(0.05, 0.045, 0.12), (0.68, side * 0.22, 1.76))
    model.add(fur, tube(curve([(-0.5, 0.1, 0.2), (-0.85, 0.35, 0.25), (-1.0, 0.5, 0.7), (-0.85, 0.5, 1.15)]), 0.12))
    return model


def teddy_bear(pick: Pick) -> Model:
    model = Model()
    fur, pale = pick.of(((0.6, 0.36, 0.16), (0.88, 0.7, 0.45)), ((0.9, 0.72, 0.45), (0.98, 0.9, 0.75)))
    model.add(fur, ball(0.55, 0.62, 0.68), (0, 0, 0.75))
    model.add(pale, ball(0.3, 0.42, 0.46), (0.3, 0, 0.75))
    model.add(fur, ball(0.5, 0.56, 0.5), (0.05, 0, 1.7))
    model.add(pale, ball(0.26, 0.27, 0.21), (0.46, 0, 1.56))
    model.add(BLACK, ball(0.09, 0.12, 0.09), (0.7, 0, 1.64))
    eyes(model, 0.5, 0.2, 1.83, 0.13, white=False)
    for side in (-1, 1):
        model.add(fur, ball(0.12, 0.2, 0.2), (0.02, side * 0.45, 2.1))
        model.add(pale, ball(0.08, 0.12, 0.12), (0.1, side * 0.45, 2.1))
        model.add(fur, ball(0.24, 0.22, 0.48), (0.2, side * 0.7, 0.95), (side * 40, -25, 0))
        model.add(fur, ball(0.5, 0.25, 0.25), (0.5, side * 0.42, 0.25), (0, 0, side * 18))
        model.add(pale, ball(0.06, 0.19, 0.2), (0.95, side * 0.57, 0.27), (0, 0, side * 18))
    bow = pick.of((0.85, 0.1, 0.12), (0.2, 0.35, 0.8))
    for side in (-1, 1):
        model.add(bow, cylinder(0.05, 0.3, 0.17), (0.52, 0, 1.2), (side * -90, 0, 0))
    model.add(bow, ball(0.09), (0.55, 0, 1.2))
    return model


def duck(pick: Pick) -> Model:
    model, down = Model(), pick.of((0.98, 0.83, 0.12), (0.97, 0.96, 0.93))
    model.add(down, ball(0.95, 0.68, 0.55), (0, 0, 0.5))
    model.add(down, cylinder(0.42, 0.75, 0.02), (-0.62, 0, 0.55), (0, -52, 0))
    model.add(down, ball(0.5, 0.48, 0.48), (0.5, 0, 1.32))
    model.add(down, ball(0.36, 0.38, 0.4), (0.48, 0, 0.9))
    model.add(ORANGE, ball(0.32, 0.26, 0.07), (1.0, 0, 1.26), (0, -8, 0))
    model.add((0.9, 0.42, 0.05), ball(0.26, 0.22, 0.06), (0.96, 0, 1.17))
    eyes(model, 0.87, 0.22, 1.46, 0.13)
    for side in (-1, 1):
        wing = shaded(down, 0.88)
        model.add(wing, ball(0.55, 0.12, 0.3), (-0.12, side * 0.64, 0.68), (side * 12, 14, side * 6))
        model.add(wing, ball(0.25, 0.08, 0.12), (-0.58, side * 0.62, 0.86), (0, 32, side * 8))
    return model


def penguin(pick: Pick) -> Model:
    model, coat = Model(), pick.of((0.1, 0.11, 0.14), (0.16, 0.26, 0.5))
    model.add(coat, turned([(0.35, 0.1), (0.62, 0.4), (0.68, 0.9), (0.5, 1.45), (0.42, 1.75), (0.3, 2.0), (0.0, 2.1)]))
    model.add(WHITE, ball(0.36, 0.5, 0.72), (0.34, 0, 0.82), (0, -6, 0))
    for side in (-1, 1):
        model.add(WHITE, ball(0.16, 0.17, 0.2), (0.28, side * 0.15, 1.75))
        model.add(coat, ball(0.2, 0.1, 0.6), (0, side * 0.72, 0.95), (side * 16, 0, 0))
        model.add(ORANGE, ball(0.32, 0.2, 0.08), (0.3, side * 0.28, 0.08), (0, 0, side * 12))
    model.add(ORANGE, cylinder(0.14, 0.36, 0.02), (0.4, 0, 1.64), (0, 95, 0))
    eyes(model, 0.42, 0.14, 1.8, 0.075, white=False)
    model.add(coat, ball(0.25, 0.2, 0.1), (-0.6, 0, 0.2), (0, -30, 0))
    if pick.number:
        model.add((0.85, 0.12, 0.12), ring(0.44, 0.11), (0, 0, 1.42))
        model.add((0.85, 0.12, 0.12), box(0.08, 0.2, 0.5), (0.5, 0.2, 1.15), (0, -10, 0))
    return model


def owl(pick: Pick) -> Model:
    model = Model()
    feather, belly = pick.of(((0.5, 0.32, 0.18), (0.85, 0.7, 0.48)), ((0.55, 0.55, 0.6), (0.9, 0.9, 0.9)))
    model.add(
        feather, turned([(0.3, 0.1), (0.62, 0.45), (0.66, 0.95), (0.56, 1.3), (0.6, 1.65), (0.4, 1.95), (0.0, 2.0)])
    )
    model.add(belly, ball(0.35, 0.44, 0.55), (0.34, 0, 0.75))
    for row, z in enumerate((0.5, 0.72, 0.94)):
        for y in np.linspace(-0.24, 0.24, 3) + 0.08 * (row % 2):
            model.add(feather, ball(0.03, 0.05, 0.07), (0.68 - 0.5 * y * y, y, z))
    for side in (-1, 1):
        model.add(feather, cylinder(0.17, 0.42, 0.01), (0.1, side * 0.42, 1.82), (side * -24, 0, 0))
        model.add(belly, ball(0.1, 0.27, 0.27), (0.5, side * 0.25, 1.58), (0, 0, side * 18))
        model.add((0.98, 0.75, 0.1), ball(0.1, 0.18, 0.18), (0.54, side * 0.25, 1.58), (0, 0, side * 18))
        model.add(BLACK, ball(0.08, 0.1, 0.1), (0.61, side * 0.26, 1.58))
        wing = shaded(feather, 0.75)
        model.add(wing, ball(0.36, 0.12, 0.55), (-0.04, side * 0.62, 0.85), (side * 6, 10, 0))
        model.add(ORANGE, ball(0.18, 0.14, 0.08), (0.4, side * 0.22, 0.1))
    model.add(ORANGE, cylinder(0.1, 0.25, 0.01), (0.56, 0, 1.46), (0, 130, 0))
    model.add(shaded(feather, 0.75), ball(0.1, 0.25, 0.4), (-0.6, 0, 0.3), (0, 25, 0))
    return model


def fish(pick: Pick) -> Model:
    model = Model()
    skin, band = pick.of(
        ((0.98, 0.5, 0.08), WHITE), ((0.2, 0.4, 0.85), (0.98, 0.85, 0.2)), ((0.9, 0.25, 0.3), (0.98, 0.7, 0.5))
    )
    model.add(skin, ball(1.0, 0.42, 0.62))
    for x in (0.3, -0.32):
        r = np.sqrt(1 - x * x)
        model.add(band, cylinder(1.0, 0.16), (x - 0.08, 0, 0), (0, 90, 0), (0.65 * r, 0.45 * r, 1))
    fin = band if pick.number == 1 else skin
    tail = [(0.0, -0.12), (0.65, -0.6), (0.5, 0.0), (0.65, 0.6), (0.0, 0.12)]
    model.add(fin, plate(tail, 0.12), (-0.9, 0, 0), (0, 0, 90))
    dorsal = [(-0.45, 0.0), (0.5, 0.0), (0.55, 0.3), (0.1, 0.42), (-0.2, 0.25)]
    model.add(fin, plate(dorsal, 0.1), (-0.05, 0, 0.5), (0, 0, 90))
    model.add(fin, plate([(-0.2, 0.0), (0.35, -0.3), (0.25, 0.0)], 0.1), (0.0, 0, -0.52), (0, 0, 90))
    for side in (-1, 1):
        model.add(fin, ball(0.26, 0.06, 0.15), (0.05, side * 0.46, -0.12), (side * -20, 15, side * -35))
    eyes(model, 0.72, 0.28, 0.18, 0.14)
    model.add(shaded(skin, 0.6), ball(0.08, 0.12, 0.06), (0.97, 0, -0.12))
    return model


def turtle(pick: Pick) -> Model:
    model = Model()
    skin, shell = pick.of(((0.5, 0.72, 0.28), (0.3, 0.45, 0.18)), ((0.72, 0.68, 0.35), (0.5, 0.32, 0.16)))
    model.add(shell, turned([(0.85, 0.2), (0.88, 0.35), (0.72, 0.66), (0.42, 0.88), (0.0, 0.96)]), scale=(1.1, 0.95, 1))
    model.add(shaded(skin, 1.25), ring(0.85, 0.12), (0, 0, 0.24), scale=(1.1, 0.95, 1))
    spots = [(0.0, 0.0, 0.24), *[(38.0, a, 0.22) for a in range(0, 360, 60)]]
    for lean, a, size in spots:
        t, b = np.radians(lean), np.radians(a)
        where = (0.95 * np.sin(t) * np.cos(b), 0.82 * np.sin(t) * np.sin(b), 0.2 + 0.745 * np.cos(t * 0.92))
        model.add(shaded(shell, 1.5), ball(size, size, 0.06), where, (0, lean * 0.85, a))
    model.add(skin, ball(0.36, 0.3, 0.28), (1.2, 0, 0.5))
    model.add(skin, tube(curve([(0.75, 0, 0.32), (1.15, 0, 0.42)]), 0.18))
    eyes(model, 1.43, 0.17, 0.6, 0.09)
    for x, y, a in ((0.62, 0.62, 40), (0.62, -0.62, -40), (-0.68, 0.6, 140), (-0.68, -0.6, -140)):
        model.add(skin, ball(0.34, 0.2, 0.17), (x, y, 0.14), (0, 0, a))
    model.add(skin, cylinder(0.1, 0.35, 0.01), (-0.9, 0, 0.25), (0, -105, 0))
    return model


def pig(pick: Pick) -> Model:
    model, skin = Model(), pick.of((0.96, 0.66, 0.7), (0.9, 0.72, 0.62))
    dark = shaded(skin, 0.82)
    model.add(skin, ball(0.95, 0.66, 0.62), (0, 0, 0.85))
    model.add(skin, ball(0.48, 0.5, 0.48), (0.9, 0, 1.1))
    model.add(dark, cylinder(0.24, 0.24), (1.24, 0, 1.02), (0, 90, 0), (1, 1, 0.85))
    for side in (-1, 1):
        model.add((0.4, 0.18, 0.2), ball(0.03, 0.055, 0.08), (1.48, side * 0.09, 1.02))
        model.add(dark, cylinder(0.2, 0.38, 0.01, 5), (0.88, side * 0.36, 1.42), (side * -25, 30, 0), (0.5, 1, 1))
        for x in (-0.5, 0.5):
            model.add(skin, cylinder(0.2, 0.5, 0.22), (x, side * 0.36, 0.1))
            model.add(dark, cylinder(0.21, 0.14), (x, side * 0.36, 0.0))
    eyes(model, 1.28, 0.24, 1.26, 0.08, white=False)
    t = np.linspace(0, 4 * np.pi, 30)
    model.add(skin, tube(np.stack([-0.92 - 0.025 * t, 0.1 * np.cos(t), 1.05 + 0.1 * np.sin(t)], 1), 0.045, 8))
    return model


def snowman(pick: Pick) -> Model:
    model = Model()
    cloth, hat = pick.of(((0.85, 0.1, 0.12), (0.08, 0.08, 0.1)), ((0.15, 0.45, 0.75), (0.75, 0.15, 0.2)))
    for r, z in ((0.75, 0.68), (0.55, 1.65), (0.4, 2.4)):
        model.add(WHITE, ball(r), (0, 0, z))
    model.add(ORANGE, cylinder(0.1, 0.55, 0.01), (0.36, 0, 2.4), (0, 90, 0))
    eyes(model, 0.34, 0.15, 2.52, 0.11, white=False)
    for y in (-0.18, -0.09, 0, 0.09, 0.18):
        model.add(BLACK, ball(0.04), (0.37, y, 2.2 + y * y * 2))
    for z, x in ((1.85, 0.5), (1.62, 0.55), (1.38, 0.48)):
        model.add(BLACK, ball(0.08), (x, 0, z))
    model.add(cloth, ring(0.42, 0.13), (0, 0, 2.08))
    model.add(cloth, box(0.1, 0.24, 0.6), (0.5, 0.25, 1.8), (0, -6, 0))
    model.add(hat, cylinder(0.5, 0.07), (0, 0, 2.7))
    model.add(hat, lathe([(0.33, 2.7), (0.35, 3.2), (0.33, 3.24)]))
    model.add(cloth, cylinder(0.345, 0.12), (0, 0, 2.78))
    for side in (-1, 1):
        arm = curve([(0, side * 0.5, 1.75), (0.05, side * 0.95, 1.95), (0.05, side * 1.2, 2.25)])
        model.add((0.4, 0.26, 0.12), tube(arm, 0.055))
        for spread in (-0.16, 0.16):
            model.add(
                (0.4, 0.26, 0.12),
                tube(curve([arm[16], arm[16] + (0, side * 0.2 + spread, 0.12 - side * spread)]), 0.04),
            )
    for x, y, _ in around(3, 0.05):
        model.add(WHITE, ball(0.1), (x, y, 0.02))
    return model


BUILDERS = {
    "cat": cat, "teddy-bear": teddy_bear, "duck": duck, "penguin": penguin, "owl": owl, "fish": fish, "turtle": turtle,
    "pig": pig, "snowman": snowman,
}  # fmt: skip
