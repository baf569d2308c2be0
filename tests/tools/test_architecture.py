"""Tests that docs/architecture.md and its picture describe the enforced order of rooms."""

import architecture


def test_the_page_describes_every_room_in_the_enforced_order():
    assert list(architecture.described()) == [room for layer in architecture.layers() for room in layer]


def test_the_picture_is_up_to_date():
    assert architecture.PICTURE.read_text() == architecture.picture(), "run python tools/architecture.py"
