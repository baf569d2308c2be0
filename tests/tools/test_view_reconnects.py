"""Test of the count of what browsers leave behind, with a few of them."""

import pytest

pytest.importorskip("viser", reason="the extra 'view' is not installed")

from view_reconnects import counted


@pytest.mark.slow
def test_a_few_browsers_leave_neither_files_nor_many_objects(tiny):
    recipe = tiny.recipe({"trainer": {"steps": 1, "image_every": 0, "loggers": []}, "export": None})
    pipeline = tiny.pipeline(recipe)
    pipeline.run(recipe)
    found = counted(pipeline.folder.path, 20)
    assert len(found) == 5 and found[-1].files <= found[0].files + 2
    assert found[-1].objects - found[0].objects < 20 * 100
