"""Tests of checkpoints: damage gives one line; written beside the target, never through the temporary folder."""

import pickle
import tempfile

import pytest
import torch
from torch import nn

from bozzetto.engine.checkpoints import CheckpointFile, load_into, read_checkpoint, require_finite
from bozzetto.engine.run_folder import RunFolder
from bozzetto.errors import RunFolderError
from bozzetto.files import UNFINISHED, remove_unfinished, write_atomically

WHOLE = {
    "state_dict": {"weight": torch.zeros(1, 2), "bias": torch.zeros(1)},
    "optimizer_states": [],
    "lr_schedulers": [],
    "loops": {},
    "epoch": 0,
    "global_step": 3,
    "pytorch-lightning_version": "2.6.0",
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
    "hostile": lambda path: torch.save({**WHOLE, "epoch": Hostile()}, path),
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


def test_it_is_written_beside_its_place(path, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "there is no such folder"))
    write_atomically(path, lambda temporary: CheckpointFile().save_checkpoint(WHOLE, temporary))
    assert CheckpointFile().load_checkpoint(path).keys() == WHOLE.keys()


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
