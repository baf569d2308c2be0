"""Tests of checkpoints: damage gives one line; written beside the target, never through the temporary folder."""

import pickle
import tempfile

import pytest
import torch
from torch import nn

from bozzetto.engine.checkpoints import load_into, read_checkpoint, require_finite, restore, save_checkpoint
from bozzetto.engine.optimizer import make_optimizer
from bozzetto.engine.pipeline import load_scene, load_state
from bozzetto.engine.run_folder import RunFolder
from bozzetto.errors import RunFolderError
from bozzetto.files import UNFINISHED, remove_unfinished, write_atomically

WHOLE = {
    "state_dict": {"weight": torch.zeros(1, 2), "bias": torch.zeros(1)},
    "optimizer_states": [],
    "global_step": 3,
    "generator_state": torch.zeros(4, dtype=torch.uint8),
}


@pytest.fixture
def path(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.make_parts()
    return folder.checkpoint("main")


class Hostile:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code of the file ran')",))


def cut(path):
    path.write_bytes(path.read_bytes()[:200])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    path.write_bytes(bytes(data))


DAMAGE = {
    "cut": cut,
    "zeros": flip,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("{}"),
    "pickle": lambda path: path.write_bytes(pickle.dumps(Hostile())),
    "hostile": lambda path: torch.save({**WHOLE, "also": Hostile()}, path),
    "a list": lambda path: torch.save([1], path),
    "no generator": lambda path: torch.save({k: v for k, v in WHOLE.items() if k != "generator_state"}, path),
    "no tensors": lambda path: torch.save({**WHOLE, "state_dict": {"weight": "x"}}, path),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_one_line_with_its_cure(path, damage):
    torch.save(WHOLE, path)
    assert read_checkpoint(path)["global_step"] == 3
    DAMAGE[damage](path)
    with pytest.raises(RunFolderError) as error:
        read_checkpoint(path)
    told = str(error.value)
    assert "is damaged: " in told and f"--resume {path.parent.parent} --from-stage main" in told and "\n" not in told


def test_what_does_not_fit_names_the_parameter(path):
    load_into(nn.Linear(2, 1), WHOLE["state_dict"], path)
    with pytest.raises(RunFolderError, match="does not fit the recipe: size mismatch for weight.*--from-stage main"):
        load_into(nn.Linear(3, 1), WHOLE["state_dict"], path)


def test_numbers_that_are_not_finite_name_the_parameter(path):
    require_finite(WHOLE["state_dict"], path)
    with pytest.raises(RunFolderError, match="holds numbers that are not finite, in bias.*--from-stage main"):
        require_finite({**WHOLE["state_dict"], "bias": torch.tensor([float("nan")])}, path)


def test_it_is_written_beside_its_place_and_holds_what_a_resume_needs(path, monkeypatch, tmp_path, tiny):
    system = tiny.system(tiny.recipe())
    optimizer = make_optimizer(list(system.named_parameters()), system.optimizer_config)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "there is no such folder"))
    save_checkpoint(path, system, [optimizer], 3)
    saved = read_checkpoint(path)
    assert saved.keys() == {*WHOLE, "generator_device"}
    system.generator.manual_seed(9)
    assert restore([optimizer], system.generator, saved, path) == 3
    assert torch.equal(system.generator.get_state(), saved["generator_state"])


@pytest.mark.parametrize("states", [[], [{}], [{"state": {}, "param_groups": []}], ["x"]])
def test_an_optimiser_state_that_does_not_fit_is_damage(path, tiny, states):
    system = tiny.system(tiny.recipe())
    optimizer = make_optimizer(list(system.named_parameters()), system.optimizer_config)
    saved = {**WHOLE, "optimizer_states": states}
    with pytest.raises(RunFolderError, match="is damaged: .*--from-stage main"):
        restore([optimizer], system.generator, saved, path)


def as_release_0_1_wrote_it(path):
    """Rewrite a checkpoint in the layout of Lightning's trainer, which release 0.1 used."""
    saved = torch.load(path, weights_only=True)
    steps = {"ready": saved["global_step"], "completed": saved["global_step"]}
    loops = {"fit_loop": {"epoch_loop.manual_optimization.optim_step_progress": {"total": steps, "current": steps}}}
    del saved["generator_device"]  # not recorded by the first release
    old = {"epoch": 0, "pytorch-lightning_version": "2.6.0", "loops": loops, "callbacks": {}, "lr_schedulers": []}
    torch.save({**old, **saved}, path)


def test_a_run_of_release_0_1_goes_on_as_if_it_had_not_been_stopped(tiny):
    ramp = {"optimizer": {"lr": {"from": 0.02, "to": 0.01, "until_step": 4}}}
    recipe, half = (tiny.recipe({"trainer": {"steps": steps, "image_every": 0}, "system": ramp}) for steps in (4, 2))
    whole, stopped = tiny.pipeline(recipe), tiny.pipeline(half)
    whole.train(recipe, 0)
    stopped.train(half, 0)
    as_release_0_1_wrote_it(stopped.folder.checkpoint("main"))
    load_scene(half, tiny.registry, stopped.folder, torch.device("cpu"))
    resumed = tiny.pipeline(recipe, RunFolder.existing(stopped.folder.path))
    resumed.train(recipe, 0)
    expected, actual = (load_state(run.folder.checkpoint("main")) for run in (whole, resumed))
    assert expected.keys() == actual.keys()
    assert all(torch.equal(value, actual[name]) for name, value in expected.items())


def test_what_a_killed_write_leaves_is_removed_and_nothing_else(path):
    folder = path.parent.parent
    (path.parent / f"{UNFINISHED}abc.ckpt").write_bytes(b"half")
    (folder / f"{UNFINISHED}def.json").write_bytes(b"half")
    path.write_bytes(b"whole")
    RunFolder(folder).tidy()
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == ["main.ckpt"]
    remove_unfinished(folder)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(path):
    path.write_bytes(b"old")

    def fail(temporary):
        temporary.write_bytes(b"half")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write_atomically(path, fail)
    assert [p.read_bytes() for p in path.parent.iterdir()] == [b"old"]
