"""Tests of what is kept in a run folder."""

import pytest

from bozzetto_studio.marks import FILE, Marks
from bozzetto_studio.processes import Process


def test_marks_are_read_as_they_were_written(tmp_path):
    marks = Marks(Process(3, "7 x"), Process(4, ""))
    marks.write(tmp_path)
    assert Marks.read(tmp_path) == marks
    Marks().write(tmp_path)
    assert Marks.read(tmp_path) == Marks()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"process": 3, "asked_to_stop": null}', '{"process": {"number": "x"}}']
)
def test_damaged_marks_are_none(tmp_path, text):
    assert Marks.read(tmp_path) == Marks()
    (tmp_path / FILE).write_text(text)
    assert Marks.read(tmp_path) == Marks()
