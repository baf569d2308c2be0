"""Tests of the picture of a UV layout."""

import numpy as np

from bozzetto_view.layout import LINE, LINE_ON_PAPER, SHADE, SIDE, uv_layout

SQUARE = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 1.0], [0.25, 1.0]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])


def is_line(picture, u, v, color):
    """Whether a colour is found within a pixel of a place."""
    height, width = picture.shape[:2]
    row, column = round((1.0 - v) * (height - 1)), round(u * (width - 1))
    return (picture[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] == color).all(-1).any()


def test_edges_stand_where_their_coordinates_are_with_v_up():
    picture = uv_layout(SQUARE, FACES, None)
    assert picture.shape == (SIDE, SIDE, 3)
    for u, v in ((0.5, 0.25), (0.25, 0.6), (0.75, 0.6), (0.5, 1.0), (0.5, 0.625)):
        assert is_line(picture, u, v, LINE_ON_PAPER), (u, v)
    for u, v in ((0.5, 0.1), (0.1, 0.6), (0.4, 0.8), (0.6, 0.4)):
        assert not is_line(picture, u, v, LINE_ON_PAPER), (u, v)


def test_the_texture_is_seen_below_them():
    texture = np.zeros((32, 64, 3), dtype=np.uint8)
    texture[:16, :, 0] = 200  # red above, in the half of v from 1/2 on
    picture = uv_layout(SQUARE, FACES, texture)
    assert picture.shape == (SIDE // 2, SIDE, 3)
    assert is_line(picture, 0.1, 0.9, (int(200 * SHADE), 0, 0)) and is_line(picture, 0.1, 0.1, (0, 0, 0))
    assert is_line(picture, 0.5, 0.25, LINE)


def test_coordinates_that_are_no_numbers_or_far_away_draw_nothing_wrong():
    uv = np.concatenate([SQUARE, [[np.nan, 0.5], [1e30, -1e30]]])
    picture = uv_layout(uv, np.array([[0, 1, 4]]), None)
    assert is_line(picture, 0.5, 0.25, LINE_ON_PAPER) and (picture != 255).all(-1).sum() < 2 * SIDE
    assert np.array_equal(uv_layout(uv, np.array([[0, 1, 5]]), None), picture)
    assert (uv_layout(np.zeros((0, 2)), np.zeros((0, 3), dtype=int), None) == 255).all()
