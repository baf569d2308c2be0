"""Tests of weight files that lie in the folder of another model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bozzetto.errors import ModelError
from bozzetto.model_files import shared_weights, weight_files, whole_part
from bozzetto.testing.fakes import tiny_stable_diffusion
from bozzetto.weights.faults import check_folder
from bozzetto.weights.folder import missing_parts, pickled_parts, weights_in
from bozzetto.weights.plans import ModelPlan

VAE = "vae/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stable_diffusion(tmp_path_factory.mktemp("whole") / "first")


@pytest.fixture
def second(whole: Path, tmp_path: Path) -> Path:
    """Return the folder `second`, which shares the autoencoder of `first` beside it."""
    shutil.copytree(whole, tmp_path / "first")
    folder = Path(shutil.copytree(whole, tmp_path / "second"))
    (folder / VAE).unlink()
    return share(folder, {VAE: f"../first/{VAE}"})


def share(folder: Path, named: object) -> Path:
    (folder / "bozzetto.json").write_text(json.dumps({"shared_weights": named}))
    return folder


def test_a_folder_without_the_key_shares_nothing(whole: Path) -> None:
    assert shared_weights(whole) == {}
    with whole_part(whole / "vae") as part:
        assert part == whole / "vae"


def test_every_reader_finds_the_shared_file(second: Path) -> None:
    there = second / f"../first/{VAE}"
    assert missing_parts(second) == [] and pickled_parts(second) == []
    assert weights_in(second / "vae") == [there] and [*weight_files(second / "vae")] == [there.name]
    check_folder(second)
    facts = ModelPlan("x", "folder", second).facts
    assert facts(second)[VAE] == facts(second.parent / "first")[VAE]


def test_damage_of_the_shared_file_is_found(second: Path) -> None:
    (second.parent / "first" / VAE).write_bytes(b"no weights")
    with pytest.raises(ModelError, match=rf"first/{VAE} is cut short"):
        check_folder(second)


@pytest.mark.parametrize("links", [True, False])
def test_a_library_is_given_a_whole_folder(second: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError("not permitted")

    if not links:
        monkeypatch.setattr(Path, "symlink_to", refuse)
    with whole_part(second / "vae") as part:
        held = {path.name: path.read_bytes() for path in part.iterdir()}
        assert all(path.is_symlink() == links for path in part.iterdir())
    assert held == {path.name: path.read_bytes() for path in (second.parent / "first" / "vae").iterdir()}
    assert not part.exists()


def test_a_folder_that_was_copied_alone_says_so(second: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(second, tmp_path / "elsewhere" / "second"))
    with pytest.raises(ModelError, match=r"second is not whole: it shares vae/.* Copy the folder first beside it"):
        missing_parts(alone)


@pytest.mark.parametrize(
    "named",
    [
        ["vae"],
        {VAE: None},
        {VAE: VAE},
        {VAE: f"../../first/{VAE}"},
        {VAE: f"../../{VAE}"},
        {VAE: f"/first/{VAE}"},
        {VAE: "../first/vae/../../secret.safetensors"},
        {VAE: "../first/vae/weights.bin"},
        {"vae/config.json": "../first/vae/config.json"},
        {f"../{VAE}": f"../first/{VAE}"},
        {"model.safetensors": f"../first/{VAE}"},
    ],
)
def test_only_weights_of_a_model_beside_it_are_shared(second: Path, named: object) -> None:
    with pytest.raises(ModelError, match="bozzetto.json: shared_weights"):
        shared_weights(share(second, named))
