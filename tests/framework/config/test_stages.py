"""Tests of stages as data: their changes, and valid starting stages."""

import pytest

from bozzetto.cli import main
from bozzetto.config.stages import stages_from
from bozzetto.engine.metrics import drop_rows_after
from bozzetto.errors import ConfigError

FIELD = {
    "geometry": {"type": "hash-grid"},
    "tasks": {"random": {"losses": {"sparsity": 1.0, "orientation": 10.0}}},
}


def losses(stage):
    return [term.name for term in stage.tasks[0].terms]


def test_a_stage_can_remove_what_the_system_says(tiny):
    stages = {"one": {}, "two": {"system": {"tasks": {"random": {"losses": {"orientation": None}}}}}}
    first, second = tiny.recipe({"system": FIELD, "stages": stages}).stages
    assert losses(first) == ["sds", "sparsity", "orientation"] and losses(second) == ["sds", "sparsity"]


def test_a_null_survives_the_run_folder(tiny, registry, tmp_path):
    import yaml

    from bozzetto.config.loading import load_recipe

    stages = {"one": {}, "two": {"system": {"tasks": {"random": {"losses": {"orientation": None}}}}}}
    recipe = tiny.recipe({"system": FIELD, "stages": stages})
    path = tmp_path / "kept.yaml"
    path.write_text(yaml.safe_dump(dict(recipe.values), sort_keys=False))
    assert load_recipe(path, registry).stages == recipe.stages


def test_a_null_stage_is_none(tiny):
    assert [stage.name for stage in tiny.recipe({"stages": {"one": {}, "two": None}}).stages] == ["one"]


def test_stages_from_a_name(tiny):
    stages = tiny.recipe({"stages": {"one": {}, "two": {}, "three": {}}}).stages
    assert [stage.name for stage in stages_from(stages, "two")] == ["two", "three"]
    with pytest.raises(ConfigError, match=r"no stage 'tree'\. Did you mean 'three'\?"):
        stages_from(stages, "tree")


def test_going_back_needs_a_run_to_go_back_in(tiny, capsys):
    assert main(["--config", str(tiny.recipe_file()), "--from-stage", "main"]) == 2
    assert "--from-stage needs a run to go back in" in capsys.readouterr().err


def test_rows_that_will_be_written_again_are_dropped(tmp_path):
    path = tmp_path / "main.csv"
    drop_rows_after(path, 3)  # a missing file is ignored
    path.write_text("step,loss\n1,0.5\n2,0.4\n3,0.3\n4,0.2\n5,0.")
    drop_rows_after(path, 3)
    assert path.read_text().split() == ["step,loss", "1,0.5", "2,0.4", "3,0.3"]
    drop_rows_after(path, 0)
    assert not path.exists()


def test_a_row_cut_off_by_the_kill_is_dropped(tmp_path):
    path = tmp_path / "main.csv"
    path.write_text("step,loss,norm\n1,0.5,1.0\n2,0.")
    drop_rows_after(path, 2)
    assert path.read_text().split() == ["step,loss,norm", "1,0.5,1.0"]


@pytest.mark.parametrize("text", ["0", "a,b\n1,2\n", "\0\0", "step,loss\n9,1\n"])
def test_a_file_without_steps_to_keep_begins_anew(tmp_path, text):
    path = tmp_path / "main.csv"
    path.write_text(text)
    drop_rows_after(path, 3)
    assert not path.exists()


def test_damaged_rows_are_forgotten_and_the_others_stay(tmp_path):
    path = tmp_path / "main.csv"
    path.write_bytes(b"step,loss\r\n1,0.5\r\nx,0.5\r\n2\r\n\xff,1\r\n3,0.25\r\n" + b"9" * 5000 + b",1\r\n")
    drop_rows_after(path, 3)
    assert path.read_bytes() == b"step,loss\r\n1,0.5\r\n3,0.25\r\n"
