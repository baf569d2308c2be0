"""Tests that damaged model folders are reported by name, in one line, before loading."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bozzetto import cli
from bozzetto.errors import ModelError
from bozzetto.testing.fakes import tiny_stable_diffusion
from bozzetto.weights.catalogue import Catalogue
from bozzetto.weights.faults import check_folder, check_header
from bozzetto.weights.plans import plan

UNET = "unet/diffusion_pytorch_model.safetensors"

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stable_diffusion(tmp_path_factory.mktemp("whole") / "model")


@pytest.fixture
def model(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def write(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content)


def cut(name: str, keep: int) -> Damage:
    """Return the first `keep` bytes, or all but the last -`keep`."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep])


def set_to(name: str, **values: object) -> Damage:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def loop(name: str) -> Damage:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(folder / name)

    return change


def header(text: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype: str = "F32", shape: object = (2,), offsets: object = (0, 8)) -> bytes:
    return header(
        json.dumps({"a.weight": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode(), b"x" * 8
    )


DAMAGES = {
    "index is garbage": (write("model_index.json", b"\xff\xfe{"), "model_index.json is not JSON"),
    "index is a list": (write("model_index.json", b"[]"), "model_index.json holds list"),
    "settings are cut": (cut("unet/config.json", 40), "unet/config.json is not JSON"),
    "settings are nested": (write("vae/config.json", b"[" * 100_000), "vae/config.json is nested too deeply"),
    "a long number": (write("vae/config.json", b'{"a": ' + b"9" * 5000 + b"}"), "vae/config.json is not JSON"),
    "scheduler is empty": (write("scheduler/scheduler_config.json", b""), "scheduler_config.json is not JSON"),
    "too many noise levels": (
        set_to("scheduler/scheduler_config.json", num_train_timesteps=10**12), "num_train_timesteps"
    ),
    "tokenizer is garbage": (write("tokenizer/vocab.json", b"{,"), "tokenizer/vocab.json is not JSON"),
    "a layer without end": (set_to("unet/config.json", layers_per_block=10**9), "layers_per_block: 1e+09"),
    "a width without end": (set_to("unet/config.json", block_out_channels=[10**9, 16]), "block_out_channels: 1e+09"),
    "weights are empty": (write(UNET, b""), "is cut short"),
    "weights are text": (write(UNET, b"version https://git-lfs.github.com/spec/v1\n"), "is cut short or no safetensors"),
    "weights are cut": (cut(UNET, -10), "is cut short: its header speaks of"),
    "header is cut": (cut(UNET, 100), "is cut short or no safetensors"),
    "more than its header says": (write(UNET, header(b"{}", b"xxxx")), "longer than it says"),
    "a huge header": (write(UNET, struct.pack("<Q", 2**60) + b"{}"), "is cut short or no safetensors"),
    "header is not JSON": (write(UNET, header(b"{]")), "its header is not JSON"),
    "header is nested": (write(UNET, header(b"[" * 100_000)), "its header is not JSON"),
    "header is a list": (write(UNET, header(b"[]")), "holds no names"),
    "offsets do not fit": (write(UNET, tensor(offsets=[0, 4])), "does not fit together"),
    "negative offsets": (write(UNET, tensor(offsets=[-8, 0])), "does not fit together"),
    "shape is text": (write(UNET, tensor(shape="ab")), "does not fit together"),
    "unknown type": (write(UNET, tensor(dtype="F3")), "does not fit together"),
    "whole numbers": (write(UNET, tensor("I32")), "as I32: weights of whole numbers"),
    "shards are missing": (
        write(f"{UNET}.index.json", b'{"weight_map": {"a": "x-00001-of-00002.safetensors"}}'), "not beside it"
    ),
    "shards are elsewhere": (write(f"{UNET}.index.json", b'{"weight_map": {"a": "../../secret"}}'), "not beside it"),
    "settings are a loop": (loop("unet/config.json"), "unet/config.json is missing"),
    "weights are a loop": (loop(UNET), "cannot be read"),
    "a folder is empty": (lambda folder: shutil.rmtree(folder / "vae"), "vae/config.json is missing"),
}  # fmt: skip


def test_a_whole_folder_has_no_fault(whole: Path) -> None:
    check_folder(whole)
    assert check_header(whole / UNET)["conv_in.weight"] == (8, 4, 3, 3)


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_one_line_that_names_the_file(model: Path, name: str) -> None:
    damage, told = DAMAGES[name]
    damage(model)
    with pytest.raises(ModelError) as caught:
        plan(str(model), Catalogue({}))
    assert told in str(caught.value) and str(model) in str(caught.value) and "\n" not in str(caught.value)


def test_check_tells_it_with_exit_2(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut(UNET, -10)(model)
    task = "system.tasks.random.guidance"
    code = cli.main(["check", "dreamfusion-sd", "--profile", "cpu", f"{task}.model={model}"])
    error = capsys.readouterr().err
    assert code == 2 and UNET in error and "cut short" in error and "Traceback" not in error


def test_looking_imports_no_torch(whole: Path) -> None:
    code = (
        "import sys; from bozzetto.weights.catalogue import Catalogue; from bozzetto.weights.plans import plan\n"
        f"plan({str(whole)!r}, Catalogue({{}})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
