"""Tests of models with pickled weights: read without executing code, converted once."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bozzetto.errors import ModelError
from bozzetto.testing.fakes import tiny_zero123
from bozzetto.weights.catalogue import Catalogue
from bozzetto.weights.download import fetch
from bozzetto.weights.pickled import read_pickle, with_safetensors
from bozzetto.weights.plans import plan

NONE = Catalogue({})
UNET, ENCODER = "unet/diffusion_pytorch_model", "image_encoder/model"


def pickled(folder: Path, variant: str = "") -> Path:
    """Return the same model with `.bin` weights only, named as by diffusers and transformers."""
    for path in folder.glob("*/*.safetensors"):
        name = path.stem.replace("model", "pytorch_model") if path.stem == "model" else path.stem
        torch.save(load_file(path), path.with_name(f"{name}{variant}.bin"))
        path.unlink()
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_zero123(tmp_path / "some-zero123", projection="cc_projection")


def contents(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {str(path.relative_to(folder)): load_file(path) for path in sorted(folder.glob("*/*.safetensors"))}


@pytest.mark.parametrize("variant", ["", ".fp16_ema"])
def test_a_folder_of_pickles_is_converted_once_and_gives_the_same_weights(model: Path, variant: str) -> None:
    expected = contents(model)
    pickled(model, variant)
    found = plan(str(model), NONE)
    assert found.folder == model
    converted = fetch(found)
    assert converted == model.with_name("some-zero123-safetensors")
    torch.testing.assert_close(contents(converted), expected, rtol=0.0, atol=0.0)
    assert plan(str(converted), NONE).source == "folder" and found.facts(converted)[f"{UNET}.safetensors"]
    before = (converted / f"{UNET}.safetensors").stat()
    assert fetch(plan(str(model), NONE)) == converted
    assert (converted / f"{UNET}.safetensors").stat().st_mtime_ns == before.st_mtime_ns
    assert sorted(path.name for path in model.parent.iterdir()) == ["some-zero123", "some-zero123-safetensors"]


def test_weights_that_change_are_converted_again(model: Path) -> None:
    pickled(model)
    fetch(plan(str(model), NONE))
    path = model / f"{UNET}.bin"
    weights = {name: value + 1.0 for name, value in torch.load(path).items()}
    torch.save(weights, path)
    os.utime(path, ns=(1, 1))
    torch.testing.assert_close(load_file(fetch(plan(str(model), NONE)) / f"{UNET}.safetensors"), weights)


def test_parts_that_are_safetensors_stay_so(model: Path) -> None:
    kept = load_file(model / f"{ENCODER}.safetensors")
    torch.save(load_file(model / f"{UNET}.safetensors"), model / f"{UNET}.bin")
    (model / f"{UNET}.safetensors").unlink()
    torch.testing.assert_close(load_file(with_safetensors(model) / f"{ENCODER}.safetensors"), kept)


def test_two_names_for_one_tensor_are_both_there(tmp_path: Path, model: Path) -> None:
    pickled(model)
    weights = torch.load(model / f"{UNET}.bin")
    weights["also"] = weights["conv_in.bias"]
    torch.save(weights, model / f"{UNET}.bin")
    assert torch.equal(load_file(with_safetensors(model) / f"{UNET}.safetensors")["also"], weights["conv_in.bias"])


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.mark),)


def test_a_pickle_that_asks_for_code_is_refused_in_one_line_and_runs_none(model: Path, tmp_path: Path) -> None:
    pickled(model)
    mark = tmp_path / "ran"
    torch.save({"conv_in.weight": Hostile(mark)}, model / f"{UNET}.bin")
    with pytest.raises(ModelError, match=r"unet/diffusion_pytorch_model\.bin is not a plain weight file") as caught:
        fetch(plan(str(model), NONE))
    assert "\n" not in str(caught.value) and "mkdir" in str(caught.value)
    assert not mark.exists() and not any("-safetensors" in path.name for path in model.parent.iterdir())


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def _bare(path: Path) -> None:
    path.write_bytes(pickle.dumps({"a": 1}))


def _endless(path: Path) -> None:
    """Return a tensor of 4 numbers whose header claims 10^12."""
    tensor = torch.zeros(4).as_strided((10**12,), (0,))
    torch.save({"a.weight": tensor}, path)


def _bomb(path: Path) -> None:
    torch.save({"a.weight": torch.zeros(100_000)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_cut, "is not a plain weight file"),
        (_bare, "is not a plain weight file"),
        (lambda path: path.write_bytes(b""), "is not a plain weight file"),
        (lambda path: torch.save([torch.zeros(2)], path), "holds other things than tensors by name"),
        (lambda path: torch.save({"step": 3}, path), "holds other things than tensors by name"),
        (_endless, "says more of 'a.weight' than it holds"),
        (_bomb, "and is refused"),
    ],
)
def test_damaged_pickles_are_refused_in_one_line(tmp_path: Path, damage, told: str) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a.weight": torch.zeros(1000)}, path)
    damage(path)
    with pytest.raises(ModelError, match=re.escape(told)) as caught:
        read_pickle(path)
    assert "\n" not in str(caught.value)


def test_a_state_dict_in_a_state_dict_is_unpacked(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(2)}}, tmp_path / "x.bin")
    assert torch.equal(read_pickle(tmp_path / "x.bin")["a"], torch.ones(2))


def test_no_room_beside_the_folder_is_told(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    pickled(model)
    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(ModelError, match=r"some-zero123-safetensors cannot be written: No space left on device"):
        fetch(plan(str(model), NONE))
    assert [path.name for path in model.parent.iterdir()] == ["some-zero123"]


KILLED = """
import os, signal, sys
from pathlib import Path
from bozzetto.weights import pickled as pickled_weights
read, seen = pickled_weights.read_pickle, []
def deadly(path):
    seen.append(path)
    if len(seen) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return read(path)
pickled_weights.read_pickle = deadly
pickled_weights.with_safetensors(Path(sys.argv[1]))
"""


def test_what_a_killed_conversion_has_left_is_removed_by_the_next(model: Path) -> None:
    expected = contents(model)
    pickled(model)
    others = [f".writing-ab12_cd3-other-{model.name}-safetensors", f"{model.name}-safetensors-mine"]
    for name in others:
        model.with_name(name).mkdir()
    done = subprocess.run([sys.executable, "-c", KILLED, str(model)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(list(model.parent.glob(".writing-*"))) == 2
    torch.testing.assert_close(contents(with_safetensors(model)), expected, rtol=0.0, atol=0.0)
    assert {path.name for path in model.parent.iterdir()} == {model.name, f"{model.name}-safetensors", *others}


def test_two_conversions_at_a_time_make_one_folder(model: Path) -> None:
    pickled(model)
    code = "import sys; from pathlib import Path; from bozzetto.weights.pickled import with_safetensors as w; print(w(Path(sys.argv[1])))"
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(model)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    target = model.with_name(f"{model.name}-safetensors")
    assert [process.communicate(timeout=120)[0].strip() for process in both] == [str(target)] * 2
    assert {path.name for path in model.parent.iterdir()} == {model.name, target.name}


def test_where_folders_cannot_be_locked_they_are_converted_all_the_same(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refused(*arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    pickled(model)
    model.with_name(f".writing-ab12_cd3-{model.name}-safetensors").mkdir()  # may belong to another process
    monkeypatch.setattr(fcntl, "flock", refused)
    assert with_safetensors(model).is_dir() and len(list(model.parent.iterdir())) == 3
