"""Toys, instruments, treasures and clothing modelled in code."""

from __future__ import annotations

import numpy as np
import trimesh

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

WHITE, BLACK, STEEL, GOLD, WOOD = (
    (0.96, 0.96, 0.96),
    (0.07, 0.07, 0.08),
    (0.68, 0.7, 0.74),
    (0.95, 0.74, 0.2),
    (0.55, 0.34, 0.17),
)
GEMS = ((0.85, 0.1, 0.2), (0.15, 0.35, 0.85), (0.15, 0.65, 0.35))


def robot(pick: Pick) -> Model:
    model = Model()
    body, trim, eye = pick.of(
        ((0.7, 0.73, 0.78), (0.85, 0.2, 0.15), (0.2, 0.75, 0.95)),
        ((0.25, 0.55, 0.75), (0.98, 0.8, 0.2), (1.0, 0.95, 0.6)),
        ((0.95, 0.6, 0.15), (0.25, 0.27, 0.3), (0.3, 0.9, 0.4)),
    )
    model.add(body, box(0.7, 1.0, 1.0), (0, 0, 1.25))
    model.add(trim, box(0.72, 0.7, 0.5), (0.03, 0, 1.35))
    for y, colour in ((-0.2, GEMS[0]), (0.0, (0.98, 0.85, 0.2)), (0.2, GEMS[2])):
        model.add(colour, ball(0.05, 0.07, 0.07), (0.4, y, 1.47))
    model.add(WHITE, box(0.08, 0.46, 0.14), (0.38, 0, 1.23))
    model.add(STEEL, cylinder(0.16, 0.2), (0, 0, 1.72))
    model.add(body, box(0.62, 0.8, 0.62), (0, 0, 2.18))
    model.add(STEEL, cylinder(0.04, 0.3), (0, 0, 2.48))
    model.add(trim, ball(0.1), (0, 0, 2.82))
    for side in (-1, 1):
        model.add(BLACK, cylinder(0.17, 0.06), (0.29, side * 0.19, 2.27), (0, 90, 0))
        model.add(eye, ball(0.08, 0.12, 0.12), (0.34, side * 0.19, 2.27))
        model.add(trim, cylinder(0.13, 0.1), (0, side * 0.4, 2.18), (-90 * side, 0, 0))
        model.add(trim, ball(0.2), (0, side * 0.6, 1.6))
        model.add(STEEL, tube(curve([(0, side * 0.65, 1.55), (0.05, side * 0.78, 1.2), (0.2, side * 0.76, 0.9)]), 0.09))
        model.add(trim, ball(0.17, 0.14, 0.17), (0.24, side * 0.76, 0.82))
        model.add(STEEL, cylinder(0.13, 0.6), (0, side * 0.28, 0.2))
        model.add(trim, box(0.6, 0.36, 0.22), (0.08, side * 0.28, 0.11))
    model.add(BLACK, box(0.06, 0.42, 0.1), (0.3, 0, 2.0))
    for y in (-0.12, 0.0, 0.12):
        model.add(WHITE, box(0.08, 0.04, 0.1), (0.3, y, 2.0))
    return model


def guitar(pick: Pick) -> Model:
    model, top = Model(), pick.of((0.85, 0.58, 0.28), (0.7, 0.2, 0.12))
    half = curve(
        [(0.0, -1.3), (0.5, -1.2), (0.72, -0.75), (0.5, -0.2), (0.4, 0.05), (0.5, 0.35), (0.4, 0.65), (0.0, 0.75)], 30
    )
    outline = [tuple(p) for p in half] + [(-y, z) for y, z in half[-2:0:-1]]
    model.add((0.4, 0.2, 0.1), plate(outline, 0.34))
    model.add(top, plate([(0.95 * y, 0.96 * z - 0.01) for y, z in outline], 0.06), (0.16, 0, 0))
    model.add(BLACK, cylinder(0.22, 0.03), (0.18, 0, 0.12), (0, 90, 0))
    model.add((0.95, 0.8, 0.5), ring(0.23, 0.03), (0.19, 0, 0.12), (0, 90, 0))
    model.add((0.3, 0.17, 0.08), box(0.1, 0.5, 0.12), (0.2, 0, -0.7))
    model.add((0.3, 0.17, 0.08), box(0.12, 0.2, 1.6), (0.14, 0, 1.25))
    for z in np.linspace(0.75, 1.95, 7):
        model.add(STEEL, box(0.13, 0.2, 0.025), (0.15, 0, z))
    model.add((0.3, 0.17, 0.08), box(0.1, 0.34, 0.5), (0.08, 0, 2.25), (0, -10, 0))
    for side in (-1, 1):
        for z in (2.1, 2.25, 2.4):
            model.add(WHITE, ball(0.06), (0.05, side * 0.22, z))
    for y in (-0.06, -0.02, 0.02, 0.06):
        model.add(WHITE, box(0.012, 0.012, 2.75), (0.225, y, 0.68))
    return model


def drum(pick: Pick) -> Model:
    model, shell = Model(), pick.of((0.82, 0.13, 0.13), (0.15, 0.35, 0.75))
    model.add(shell, cylinder(0.9, 1.0))
    model.add(WHITE, cylinder(0.88, 0.06), (0, 0, 0.96))
    for z in (0.04, 0.96):
        model.add(GOLD, lathe([(0.9, z - 0.09), (0.96, z - 0.09), (0.96, z + 0.09), (0.88, z + 0.09)], closed=False))
    places = around(16, 0.93)
    for i in range(16):
        low, high = np.array([*places[i][:2], 0.1]), np.array([*places[(i + 1) % 16][:2], 0.9])
        if i % 2:
            low[2], high[2] = high[2], low[2]
        model.add(WHITE, tube(np.linspace(low, high, 3), 0.028, 6))
    for side in (-1, 1):
        model.add(WOOD, tube(np.linspace((-0.7, side * 0.1, 1.12), (0.75, side * 0.55, 1.14), 4), 0.05))
        model.add(WOOD, ball(0.1), (0.75, side * 0.55, 1.14))
    return model


def trophy(pick: Pick) -> Model:
    model, metal = Model(), pick.of(GOLD, (0.78, 0.8, 0.84))
    model.add(WOOD, box(0.95, 0.95, 0.35), (0, 0, 0.18))
    model.add(metal, box(0.04, 0.5, 0.2), (0.48, 0, 0.18))
    model.add(metal, turned([(0.36, 0.35), (0.3, 0.45), (0.1, 0.65), (0.1, 0.95)]))
    model.add(
        metal, lathe([*map(tuple, curve([(0.1, 0.9), (0.45, 1.15), (0.6, 1.6), (0.68, 2.1)])), (0.6, 2.1), (0.5, 1.6)])
    )
    model.add(metal, ring(0.67, 0.045), (0, 0, 2.1))
    for side in (-1, 1):
        model.add(
            metal,
            tube(
                curve([(0, side * 0.62, 1.95), (0, side * 1.0, 2.0), (0, side * 1.05, 1.6), (0, side * 0.5, 1.25)]),
                0.065,
            ),
        )
    star = [
        (r * np.cos(a), r * np.sin(a))
        for i in range(10)
        for a in [np.pi / 2 + i * np.pi / 5]
        for r in [0.28 if i % 2 == 0 else 0.12]
    ]
    model.add(pick.of((0.85, 0.2, 0.15), (0.15, 0.4, 0.8)), plate(star, 0.12), (0.6, 0, 1.72), (0, 10, 0))
    return model


def crown(pick: Pick) -> Model:
    model, metal = Model(), pick.of(GOLD, (0.85, 0.86, 0.9))
    model.add(metal, lathe([(0.85, 0.0), (0.9, 0.55), (0.82, 0.55), (0.78, 0.02)]))
    model.add(pick.of((0.6, 0.08, 0.15), (0.3, 0.12, 0.5)), ball(0.78, 0.78, 0.5), (0, 0, 0.4))
    model.add((0.97, 0.95, 0.92), ring(0.87, 0.1), (0, 0, 0.06))
    for i, (x, y, a) in enumerate(around(8, 0.88)):
        model.add(metal, plate([(-0.3, 0.0), (0.3, 0.0), (0.0, 0.72)], 0.08), (x, y, 0.5), (0, 8, a))
        model.add(metal, ball(0.11), (x * 1.13, y * 1.13, 1.25))
        model.add(GEMS[i % 3], ball(0.06, 0.11, 0.13), (x * 1.0, y * 1.0, 0.35), (0, 0, a))
    return model


def bell(pick: Pick) -> Model:
    model, metal = Model(), pick.of(GOLD, (0.72, 0.45, 0.25))
    outside = curve([(0.85, 0.0), (0.78, 0.15), (0.58, 0.5), (0.52, 1.0), (0.4, 1.3), (0.0, 1.42)], 30)
    model.add(metal, lathe([(0.75, 0.0), *map(tuple, outside)]))
    model.add(shaded(metal, 0.75), ring(0.82, 0.05), (0, 0, 0.06))
    model.add(shaded(metal, 0.75), ring(0.53, 0.03), (0, 0, 0.95))
    model.add((0.3, 0.25, 0.2), ball(0.2), (0, 0, -0.08))
    bow = pick.of((0.85, 0.1, 0.12), (0.2, 0.45, 0.3))
    model.add(metal, ring(0.16, 0.05), (0, 0, 1.55), (0, 90, 0))
    for side in (-1, 1):
        model.add(bow, cylinder(0.06, 0.45, 0.22), (0.3, 0, 1.32), (side * -80, 0, 0))
        model.add(bow, box(0.06, 0.16, 0.5), (0.46, side * 0.14, 1.08), (side * 16, -18, 0))
    model.add(bow, ball(0.12), (0.34, 0, 1.33))
    return model


def hourglass(pick: Pick) -> Model:
    model, wood = Model(), pick.of(WOOD, (0.2, 0.2, 0.22))
    for z in (0.0, 2.0):
        model.add(wood, cylinder(0.75, 0.16), (0, 0, z))
    for x, y, _ in around(4, 0.62, 45.0):
        model.add(wood, cylinder(0.06, 2.0), (x, y, 0.08))
    glass = curve([(0.45, 0.16), (0.5, 0.5), (0.32, 0.85), (0.07, 1.08), (0.32, 1.31), (0.5, 1.66), (0.45, 2.0)], 40)
    sand = pick.of((0.9, 0.68, 0.3), (0.35, 0.6, 0.85))
    model.add((0.82, 0.92, 0.96), lathe([tuple(p) for p in glass if p[1] >= 1.55]))
    model.add(sand, lathe([tuple(p) for p in glass if 1.0 <= p[1] <= 1.56]))
    model.add((0.82, 0.92, 0.96), lathe([tuple(p) for p in glass if 0.6 <= p[1] <= 1.04]))
    model.add(sand, lathe([tuple(p) for p in glass if p[1] <= 0.62]))
    return model


def treasure_chest(pick: Pick) -> Model:
    model, wood, metal = Model(), pick.of((0.5, 0.28, 0.12), (0.62, 0.2, 0.14)), GOLD
    model.add(wood, box(1.1, 1.8, 0.75), (0, 0, 0.4))
    lid = [(-0.55, 0.0), *[(-0.55 * np.cos(a), 0.12 + 0.4 * np.sin(a)) for a in np.linspace(0, np.pi, 14)], (0.55, 0.0)]
    model.add(wood, plate(lid[::-1], 1.8), (0, 0, 0.82), (0, 0, 90))
    for y in (-0.8, 0.0, 0.8):
        model.add(metal, box(1.14, 0.14, 0.77), (0, y, 0.4))
        model.add(metal, plate([(1.04 * u, 1.05 * z) for u, z in lid[::-1]], 0.14), (0, y, 0.82), (0, 0, 90))
    model.add(metal, box(1.14, 1.84, 0.1), (0, 0, 0.82))
    model.add(metal, box(0.12, 0.36, 0.42), (0.56, 0, 0.74))
    model.add(BLACK, box(0.14, 0.08, 0.16), (0.57, 0, 0.7))
    for x, y, _ in around(4, 1.0, 45.0):
        model.add(metal, box(0.14, 0.14, 0.1), (np.sign(x) * 0.5, np.sign(y) * 0.85, 0.03))
    return model


def pencil(pick: Pick) -> Model:
    model, paint = Model(), pick.of((0.98, 0.78, 0.1), (0.85, 0.2, 0.2))
    pieces: tuple[tuple[RGB, float, float, float, float], ...] = (
        ((0.1, 0.1, 0.1), 0.02, 0.0, 0.1, 0.22), ((0.92, 0.75, 0.52), 0.1, 0.22, 0.3, 0.75),
        (paint, 0.3, 0.75, 0.3, 2.5),
        (STEEL, 0.31, 2.5, 0.31, 2.8), ((0.95, 0.5, 0.55), 0.29, 2.8, 0.27, 3.1),
    )  # fmt: skip
    tilt = Model()
    for colour, low_r, low, high_r, high in pieces:
        tilt.add(colour, lathe([(low_r, low), (high_r, high)], 6 if colour == paint else 24))
    for z in (2.57, 2.65, 2.73):
        tilt.add((0.5, 0.52, 0.55), ring(0.31, 0.02), (0, 0, z))
    model.include(tilt, turn=(pick.of(16, -16), 0, 0))
    return model


def umbrella(pick: Pick) -> Model:
    model = Model()
    colours = pick.of(((0.85, 0.12, 0.15), (0.85, 0.12, 0.15)), ((0.95, 0.8, 0.15), (0.2, 0.5, 0.75)))
    line = curve([(1.25, 1.45), (1.05, 1.85), (0.65, 2.15), (0.0, 2.3)], 16)
    whole = lathe([*map(tuple, line), *[(r * 0.97, z - 0.05) for r, z in line[::-1]]], 48)
    middles = whole.triangles_center
    stripe = np.floor((np.degrees(np.arctan2(middles[:, 1], middles[:, 0])) + 22.5) % 360 / 45).astype(int) % 2
    for k, colour in enumerate(colours):
        model.add(shaded(colour, 0.93 + 0.07 * k), faces_of(whole, stripe == k))
    model.add(STEEL, cylinder(0.05, 2.1), (0, 0, 0.25))
    model.add(
        (0.25, 0.16, 0.1),
        tube(curve([(0, 0, 0.6), (0, 0, 0.2), (0, 0.14, 0.02), (0, 0.32, 0.08), (0, 0.36, 0.25)]), 0.075),
    )
    model.add(STEEL, cylinder(0.05, 0.25, 0.01), (0, 0, 2.28))
    return model


def hat(pick: Pick) -> Model:
    model = Model()
    if pick.number:
        felt, band = (0.35, 0.2, 0.5), (0.95, 0.8, 0.2)
        model.add(felt, lathe([(1.15, 0.0), (1.2, 0.05), (0.6, 0.12)]))
        model.add(
            felt,
            tube(curve([(0, 0, 0.08), (0, 0, 0.8), (-0.05, 0, 1.3), (-0.3, 0, 1.75)]), np.linspace(0.66, 0.04, 24), 32),
        )
        model.add(band, lathe([(0.64, 0.1), (0.6, 0.3)]))
        model.add(band, box(0.08, 0.34, 0.3), (0.62, 0, 0.22))
        model.add(felt, box(0.1, 0.18, 0.15), (0.63, 0, 0.22))
        return model
    felt, band = (0.1, 0.1, 0.12), (0.75, 0.12, 0.15)
    model.add(felt, turned([(1.15, 0.06), (1.18, 0.02), (0.7, 0.0)]))
    model.add(felt, lathe([(0.66, 0.0), (0.64, 0.6), (0.7, 1.15), (0.68, 1.2)]))
    model.add(band, lathe([(0.67, 0.04), (0.66, 0.32)]))
    return model


def gift(pick: Pick) -> Model:
    model = Model()
    paper, bow = pick.of(((0.85, 0.12, 0.15), GOLD), ((0.55, 0.3, 0.7), WHITE))
    high = pick.of(1.3, 0.9)
    model.add(paper, box(1.3, 1.3, high), (0, 0, high / 2))
    model.add(shaded(paper, 0.9), box(1.4, 1.4, 0.28), (0, 0, high))
    for turn in (0, 90):
        model.add(bow, box(1.43, 0.22, 0.3), (0, 0, high + 0.01), (0, 0, turn))
        model.add(bow, box(1.33, 0.22, high), (0, 0, high / 2 + 0.005), (0, 0, turn))
    for x, y, a in around(4, 0.3, 45.0):
        model.add(bow, ribbon_loop(), (x, y, high + 0.32), (0, 0, a))
    model.add(bow, ball(0.13), (0, 0, high + 0.25))
    return model


def ribbon_loop() -> trimesh.Trimesh:
    """Return a loop of ribbon that leans outward along +x."""
    path = curve([(-0.3, 0, -0.12), (0.05, 0, 0.22), (0.3, 0, 0.15), (0.2, 0, -0.08), (-0.3, 0, -0.14)], 20)
    return tube(path, 0.09, 8)


def dice(pick: Pick) -> Model:
    model, body = Model(), pick.of(WHITE, (0.8, 0.1, 0.12))
    dot = pick.of(BLACK, WHITE)
    block = ball(1.0)
    block.vertices = np.clip(block.vertices * 1.32, -0.78, 0.78)
    model.add(body, block)
    s = 0.36
    middle, line, corners = [(0.0, 0.0)], [(-s, -s), (s, s)], [(-s, -s), (-s, s), (s, -s), (s, s)]
    spots = {1: middle, 2: line, 3: [*line[:1], *middle, *line[1:]], 4: corners}
    spots |= {5: [*corners, *middle], 6: [*corners, (-s, 0.0), (s, 0.0)]}
    for number, axis, side in ((1, 0, 1), (6, 0, -1), (2, 1, 1), (5, 1, -1), (3, 2, 1), (4, 2, -1)):
        r = 0.24 if number == 1 else 0.16
        for u, v in spots[number]:
            where, size = np.insert([float(u), float(v)], axis, side * 0.77), np.insert([r, r], axis, 0.04)
            model.add(dot if number > 1 else pick.of((0.85, 0.1, 0.1), WHITE), ball(*size), tuple(where))
    return model


BUILDERS = {
    "robot": robot, "guitar": guitar, "drum": drum, "trophy": trophy, "crown": crown, "bell": bell,
    "hourglass": hourglass, "treasure-chest": treasure_chest, "pencil": pencil, "umbrella": umbrella, "hat": hat,
    "gift": gift, "dice": dice,
}  # fmt: skip
