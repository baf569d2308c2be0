"""Food and fruit modelled in code."""

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

LEAF, STEM, CRUST = (0.25, 0.55, 0.15), (0.40, 0.26, 0.12), (0.80, 0.52, 0.22)
SPRINKLES = ((0.95, 0.85, 0.15), (0.2, 0.55, 0.9), (1.0, 1.0, 1.0), (0.3, 0.75, 0.3))


def cupcake(pick: Pick) -> Model:
    model = Model()
    paper, cream = pick.of(((0.75, 0.2, 0.2), (1.0, 0.85, 0.88)), ((0.25, 0.65, 0.6), (0.55, 0.3, 0.16)))
    model.add(paper, cylinder(0.62, 0.75, 0.82))
    for x, y, a in around(18, 0.74):
        model.add(shaded(paper, 0.75), box(0.05, 0.07, 0.76), (x, y, 0.38), (0, 8, a))
    for radius, z in ((0.72, 0.86), (0.56, 1.1), (0.36, 1.32)):
        model.add(cream, ring(radius * 0.68, 0.24), (0, 0, z))
        model.add(cream, ball(radius * 0.8, radius * 0.8, 0.2), (0, 0, z))
    model.add(cream, cylinder(0.22, 0.3, 0.02), (0, 0, 1.45))
    model.add((0.85, 0.08, 0.12), ball(0.17), (0, 0, 1.72))
    return model


def birthday_cake(pick: Pick) -> Model:
    model = Model()
    icing, trim = pick.of(((0.98, 0.72, 0.8), (1.0, 1.0, 1.0)), ((0.96, 0.93, 0.85), (0.45, 0.25, 0.15)))
    model.add((0.75, 0.78, 0.82), cylinder(1.25, 0.06))
    for radius, low, high in ((1.05, 0.06, 0.62), (0.7, 0.62, 1.1)):
        model.add(icing, lathe([(radius, low), (radius, high - 0.06), (radius - 0.06, high)]))
        for x, y, _ in around(round(18 * radius), radius):
            model.add(trim, ball(0.1), (x, y, high - 0.05))
            model.add(trim, ball(0.09), (x, y, low + 0.06))
    for i, (x, y, _) in enumerate(around(5, 0.42)):
        model.add(SPRINKLES[i % 4], cylinder(0.05, 0.4), (x, y, 1.08))
        model.add((1.0, 0.6, 0.1), ball(0.05, 0.05, 0.1), (x, y, 1.56))
    return model


def donut(pick: Pick) -> Model:
    model, icing = Model(), pick.of((0.95, 0.45, 0.65), (0.36, 0.18, 0.09), (0.97, 0.95, 0.9))
    model.add((0.85, 0.6, 0.3), ring(0.68, 0.36), scale=(1, 1, 0.85))
    model.add(icing, ring(0.68, 0.35), (0, 0, 0.06), scale=(1.01, 1.01, 0.82))
    for x, y, a in around(11, 0.98, pick.between(0, 30)):
        model.add(icing, ball(0.13, 0.17, 0.16), (x, y, -0.06), (0, 0, a))
    for i in range(44):
        a, b = pick.between(0, 2 * np.pi), pick.between(0.5, 2.7)
        r = 0.68 + 0.35 * np.cos(b)
        spot = (r * np.cos(a), r * np.sin(a), 0.06 + 0.29 * np.sin(b))
        model.add(SPRINKLES[i % 4], ball(0.075, 0.028, 0.028), spot, (0, 0, pick.between(0, 180)))
    return model


def ice_cream_cone(pick: Pick) -> Model:
    model = Model()
    scoops = pick.of(
        ((0.97, 0.93, 0.8),), ((0.95, 0.55, 0.65), (0.45, 0.27, 0.16)), ((0.6, 0.85, 0.6), (0.97, 0.93, 0.8))
    )
    model.add((0.86, 0.62, 0.32), cylinder(0.06, 1.5, 0.56))
    for z in (0.3, 0.62, 0.94, 1.26):
        model.add((0.68, 0.44, 0.2), ring(0.06 + 0.333 * z, 0.03), (0, 0, z))
    for x, y, a in around(9, 0.31):
        model.add((0.68, 0.44, 0.2), box(0.05, 0.05, 1.5), (x, y, 0.75), (0, 18.4, a))
    z = 1.68
    for colour in scoops:
        model.add(colour, ball(0.58, 0.58, 0.52), (0, 0, z))
        for x, y, _ in around(9, 0.5, pick.between(0, 40)):
            model.add(colour, ball(0.16), (x, y, z - 0.28))
        z += 0.68
    if pick.number == 0:
        model.add((0.85, 0.08, 0.12), ball(0.17), (0, 0, 2.28))
    return model


def pizza(pick: Pick) -> Model:
    model = Model()
    rim = [(0.9 * np.sin(a), 2.0 * np.cos(a) - 1.0) for a in np.linspace(0.42, -0.42, 12) * 1.05]
    slice_ = [(0.0, -1.2), *[(y * 1.25, z) for y, z in rim]]
    model.add((0.98, 0.78, 0.28), plate(slice_, 0.16), (0.05, 0, 0))
    model.add(CRUST, plate(slice_, 0.14), (-0.08, 0, 0))
    path = curve([(0.0, y * 1.27, z + 0.02) for y, z in rim], 16)
    model.add((0.72, 0.42, 0.16), tube(path, 0.17))
    spots = pick.of(
        ((-0.24, 0.55), (0.26, 0.4), (-0.02, -0.1), (0.03, -0.62)), ((0.2, 0.6), (-0.26, 0.25), (0.1, -0.2))
    )
    for y, z in spots:
        model.add((0.75, 0.14, 0.1), cylinder(0.19, 0.05), (0.12, y, z), (0, 90, 0))
    for y, z in ((0.0, 0.72), (-0.2, -0.12), (0.12, 0.08), (-0.05, -0.42)):
        model.add((0.2, 0.5, 0.15), ball(0.04, 0.1, 0.05), (0.15, y, z), (40, 0, 0))
    return model


def cheese(pick: Pick) -> Model:
    model, yellow, hole = Model(), (0.98, 0.8, 0.25), (0.85, 0.6, 0.1)
    wedge = [(-1.1, -0.45), (1.1, -0.45), (1.1, 0.45), (-1.1, 0.45)]
    model.add(yellow, plate([(-0.9, -0.7), (0.9, -0.7), (0.0, 1.4)], 0.95), turn=(0, -90, 0))
    for x, y, z, r in ((-0.72, 0.4, 0.1, 0.2), (-0.72, -0.35, -0.2, 0.15), (-0.72, 0.0, 0.25, 0.12)):
        model.add(hole, ball(0.04, r, r), (-x, y, z))
    for x, s, z, r in ((0.3, 1, 0.1, 0.2), (-0.3, 1, -0.15, 0.16), (0.3, -1, -0.1, 0.18), (-0.35, -1, 0.2, 0.14)):
        model.add(hole, ball(r, 0.05, r), (x, s * (0.9 - (0.7 - x) * 0.4286), z), (0, 0, -s * 23.2))
    for x, y, r in ((0.3, 0.3, 0.18), (0.2, -0.35, 0.14), (-0.4, 0.0, 0.15), (-0.85, 0.05, 0.09)):
        model.add(hole, ball(r, r, 0.03), (x, y, len(wedge) * 0.12))
    return model


def apple(pick: Pick) -> Model:
    model, skin = Model(), pick.of((0.82, 0.1, 0.1), (0.5, 0.75, 0.15))
    model.add(
        skin, turned([(0.15, 0.1), (0.45, 0.0), (0.85, 0.45), (0.97, 0.95), (0.7, 1.42), (0.35, 1.5), (0.0, 1.3)])
    )
    model.add(STEM, tube(curve([(0, 0, 1.3), (0.02, 0.02, 1.6), (0.08, 0.12, 1.85)]), 0.06))
    model.add(LEAF, ball(0.1, 0.36, 0.05), (0.05, 0.36, 1.78), (25, 0, 10))
    return model


def pear(pick: Pick) -> Model:
    model, skin = Model(), pick.of((0.78, 0.8, 0.25), (0.85, 0.6, 0.2))
    model.add(skin, turned([(0.1, 0.05), (0.5, 0.0), (0.85, 0.5), (0.72, 1.05), (0.42, 1.5), (0.34, 1.8), (0.0, 2.0)]))
    model.add(STEM, tube(curve([(0, 0, 1.95), (0, 0.03, 2.15), (0.04, 0.12, 2.32)]), 0.055))
    model.add(LEAF, ball(0.1, 0.28, 0.04), (0, -0.26, 2.12), (-20, 0, 0))
    return model


def banana(pick: Pick) -> Model:
    model, skin = Model(), pick.of((0.98, 0.83, 0.18), (0.85, 0.82, 0.25))
    line = np.stack([np.zeros(24), 1.2 * np.cos(t := np.radians(np.linspace(195, 345, 24))), 1.3 * np.sin(t)], 1)
    radii = np.interp(np.linspace(0, 1, 24), [0, 0.08, 0.3, 0.6, 0.92, 1], [0.1, 0.2, 0.34, 0.34, 0.2, 0.1])
    for shift in pick.of((0.0,), (-0.32, 0.32)):
        model.add(skin, tube(line, radii, 5), (shift, 0, 0.2 * abs(shift)), (shift * 30, 0, 0))
        model.add((0.3, 0.2, 0.08), ball(0.1, 0.13, 0.13), (shift, line[0, 1], line[0, 2] + 0.04))
        model.add((0.45, 0.35, 0.1), tube(curve([line[-1], line[-1] + (0, 0.08, 0.3)]), 0.09), (shift, 0, 0))
    return model


def strawberry(pick: Pick) -> Model:
    model, skin = Model(), pick.of((0.88, 0.1, 0.13), (0.95, 0.25, 0.25))
    profile = curve([(0.03, 0.0), (0.42, 0.4), (0.75, 1.0), (0.72, 1.4), (0.3, 1.62), (0.0, 1.62)])
    model.add(skin, lathe([tuple(p) for p in profile]))
    for row, z in enumerate((0.4, 0.68, 0.96, 1.24)):
        r = float(np.interp(z, profile[:16, 1], profile[:16, 0]))
        for x, y, a in around(6 + 2 * row, r * 1.0, row * 25.0):
            model.add((0.98, 0.85, 0.4), ball(0.03, 0.035, 0.06), (x, y, z), (0, 0, a))
    for x, y, a in around(7, 0.36):
        model.add(LEAF, ball(0.36, 0.13, 0.05), (x, y, 1.62), (0, 14, a))
    model.add(LEAF, cylinder(0.06, 0.35), (0, 0, 1.6))
    return model


def pineapple(pick: Pick) -> Model:
    model, skin = Model(), pick.of((0.85, 0.6, 0.15), (0.72, 0.5, 0.14))
    model.add(shaded(skin, 0.7), ball(0.6, 0.6, 0.9), (0, 0, 0.9))
    for row, z in enumerate(np.linspace(-0.72, 0.72, 7)):
        r = 0.6 * np.sqrt(1 - (z / 0.9) ** 2)
        for x, y, a in around(max(6, round(r * 20)), r, 15.0 * (row % 2)):
            model.add(skin, ball(0.07, 0.11, 0.12), (x, y, 0.9 + z), (0, 0, a))
    for tier, (length, lean) in enumerate(((0.55, 50), (0.7, 32), (0.85, 14))):
        for x, y, a in around(7, 0.1, tier * 25.0):
            out = np.radians(lean)
            tip = (
                x + length * 0.5 * np.sin(out) * np.cos(np.radians(a)),
                y + length * 0.5 * np.sin(out) * np.sin(np.radians(a)),
            )
            model.add(
                (0.2, 0.5, 0.2), ball(0.04, 0.13, length / 2), (*tip, 1.75 + length / 2 * np.cos(out)), (0, lean, a)
            )
    return model


def watermelon(pick: Pick) -> Model:
    model = Model()
    half = [(np.cos(a), np.sin(a)) for a in np.linspace(np.pi, 2 * np.pi, 32)]
    for colour, r, width in (
        ((0.15, 0.45, 0.15), 1.2, 0.5),
        ((0.88, 0.95, 0.75), 1.1, 0.53),
        ((0.9, 0.18, 0.2), 1.02, 0.56),
    ):
        model.add(colour, plate([(r * y, r * z) for y, z in half], width))
    for y, z in ((-0.6, -0.25), (-0.2, -0.3), (0.2, -0.25), (0.6, -0.3), (-0.4, -0.6), (0.0, -0.7), (0.42, -0.6)):
        for side in (-1, 1):
            model.add((0.08, 0.05, 0.05), ball(0.03, 0.05, 0.09), (side * 0.28, y, z))
    return model


def carrot(pick: Pick) -> Model:
    model, skin = Model(), pick.of((0.95, 0.48, 0.1), (0.9, 0.4, 0.12))
    model.add(skin, turned([(0.02, 0.0), (0.22, 0.7), (0.42, 1.6), (0.46, 2.0), (0.3, 2.18), (0.0, 2.2)]))
    for z in (0.5, 0.95, 1.3, 1.7):
        model.add(shaded(skin, 0.8), ring(0.08 + 0.2 * z, 0.025), (0, 0, z))
    for x, y, a in around(7, 0.1):
        tip = (x * 4.5, y * 4.5, 3.0 + pick.between(-0.15, 0.1))
        model.add(LEAF, tube(curve([(x, y, 2.1), (x * 2, y * 2, 2.6), tip]), [0.06] * 12 + [0.13] * 10 + [0.05] * 2))
        model.add((0.2, 0.5, 0.14), ball(0.16, 0.16, 0.3), (tip[0] * 0.8, tip[1] * 0.8, 2.85), (0, 15, a))
    return model


def pumpkin(pick: Pick) -> Model:
    model, skin, hole = Model(), pick.of((0.95, 0.5, 0.08), (0.85, 0.42, 0.12)), (0.18, 0.08, 0.02)
    for x, y, a in around(10, 0.48, 18.0):
        model.add(skin, ball(0.55, 0.42, 0.78), (x, y, 0.78), (0, 0, a))
    model.add(
        STEM if pick.number else LEAF,
        tube(curve([(0, 0, 1.35), (0, 0.03, 1.65), (0.05, 0.2, 1.85)]), [0.17] * 12 + [0.12] * 12),
    )
    for side in (-1, 1):
        model.add(
            hole, plate([(-0.19, -0.15), (0.19, -0.15), (0.0, 0.2)], 0.2), (0.86, side * 0.34, 1.05), (0, -8, side * 18)
        )
        half = [
            (0.0, -0.2),
            (0.32, -0.16),
            (0.52, 0.14),
            (0.26, 0.0),
            (0.22, 0.12),
            (0.08, 0.12),
            (0.08, -0.02),
            (0.0, -0.02),
        ]
        jaw = half if side > 0 else [(-y, z) for y, z in reversed(half)]
        model.add(hole, plate(jaw, 0.22), (0.99, 0, 0.52), (0, 10, side * 22))
    model.add(hole, plate([(-0.1, -0.08), (0.1, -0.08), (0, 0.1)], 0.12), (0.95, 0, 0.8))
    return model


def mushroom(pick: Pick) -> Model:
    model, cap = Model(), pick.of((0.85, 0.1, 0.1), (0.6, 0.36, 0.18), (0.45, 0.25, 0.65))
    height = pick.of(0.0, -0.15, 0.15)
    model.add((0.95, 0.9, 0.8), turned([(0.42, 0.0), (0.36, 0.3), (0.28, 0.9 + height), (0.3, 1.1 + height)]))
    dome = [(0.3, -0.05), (0.95, -0.06), (1.05, 0.08), (0.9, 0.45), (0.55, 0.75), (0.0, 0.85)]
    model.add((0.93, 0.86, 0.72), cylinder(0.98, 0.05), (0, 0, 0.97 + height))
    model.add(cap, turned(dome), (0, 0, 1.05 + height))
    surface = curve(dome, 60)
    for along, count, size in ((59, 1, 0.2), (44, 4, 0.17), (32, 6, 0.15)):
        r, z = surface[along]
        lean = 90 - 1.4 * along if along < 59 else 0
        for x, y, a in around(count, r, along * 7.0):
            model.add((0.98, 0.96, 0.9), ball(size, size, 0.05), (x, y, 1.05 + height + z), (0, lean, a))
    return model


BUILDERS = {
    "cupcake": cupcake, "birthday-cake": birthday_cake, "donut": donut,
    "ice-cream-cone": ice_cream_cone, "pizza": pizza, "cheese": cheese, "apple": apple, "pear": pear, "banana": banana,
    "strawberry": strawberry, "pineapple": pineapple, "watermelon": watermelon, "carrot": carrot, "pumpkin": pumpkin,
    "mushroom": mushroom,
}  # fmt: skip
