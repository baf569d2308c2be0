"""Tests of run folders that were copied, truncated, emptied or cleaned up by hand."""

import json
import shutil

import pytest

from bozzetto.engine.run_folder import RunFolder
from bozzetto.errors import RunFolderError

WHOLE = {"profile": "cpu", "stages": {"main": {"finished": True, "steps": 4}}}


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.make_parts()
    made.recipe_file.write_text("prompt: a hamburger\n")
    made.record(WHOLE)
    return made


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(WHOLE)[:25], "", "{}", "[]", "null", "12", "\0", "[" * 5000, json.dumps({**WHOLE, "profile": 3}),
        json.dumps({**WHOLE, "stages": []}), json.dumps({**WHOLE, "stages": {"main": 1}}), json.dumps({**WHOLE, "exports": 1}),
    ],
)  # fmt: skip
def test_a_damaged_manifest_is_one_line_with_its_cure(folder, text):
    folder.manifest_file.write_text(text)
    with pytest.raises(RunFolderError) as error:
        RunFolder.existing(folder.path)
    told = str(error.value)
    assert "The manifest of this run" in told and "is damaged" in told and f"--config {folder.recipe_file}" in told
    assert "\n" not in told


def test_bytes_that_are_no_text(folder):
    folder.manifest_file.write_bytes(b'{"profile": "\xff\xfe"}')
    with pytest.raises(RunFolderError, match="is damaged"):
        RunFolder.existing(folder.path)


def test_a_folder_of_runs_names_one(folder):
    with pytest.raises(RunFolderError, match=rf"is not a run folder.*Did you mean {folder.path}\?"):
        RunFolder.existing(folder.path.parent)


def test_what_was_deleted_is_made_again(folder):
    shutil.rmtree(folder.export)
    shutil.rmtree(folder.images)
    folder.tidy()
    assert folder.export.is_dir() and folder.images.is_dir()


def test_a_stage_has_finished_with_so_many_steps_and_its_checkpoint(folder):
    assert not folder.finished("main", 4)
    folder.checkpoint("main").write_text("a checkpoint")
    assert folder.finished("main", 4) and folder.finished("main", 2) and not folder.finished("main", 5)
    assert (folder.steps_of("main"), folder.steps_of("other")) == (4, 0)
    folder.forget_stage("main")
    assert not folder.finished("main", 0) and folder.steps_of("main") == 0
