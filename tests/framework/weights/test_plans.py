"""Tests of where weights are found: aliases, folders, the cache; no network."""

from __future__ import annotations

import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from tests.framework.weights.conftest import MODEL_FILES, NO_TENSORS, put_in_cache, write_model

from bozzetto.errors import ModelError
from bozzetto.spec import ModelEntry, ModelSpec
from bozzetto.weights.catalogue import Catalogue
from bozzetto.weights.download import fetch
from bozzetto.weights.folder import files_wanted, missing_parts
from bozzetto.weights.plans import plan


def test_an_alias_is_a_download_when_nothing_is_cached(catalogue: Catalogue) -> None:
    found = plan("sd-1.5", catalogue)
    assert (found.source, found.folder, found.revision) == ("download", None, None)
    assert found.repositories[0] == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert "download from stable-diffusion-v1-5/stable-diffusion-v1-5, 2.1 GB" in found.describe()
    assert "RAIL" in found.describe()


def test_the_cache_is_honoured_even_of_a_later_mirror(catalogue: Catalogue, empty_cache: Path) -> None:
    entry = catalogue.find("sd-2.1-base")
    assert entry is not None
    folder = put_in_cache(empty_cache, entry.spec.repositories[1])
    found = plan("sd-2.1-base", catalogue, offline=True)
    assert (found.source, found.folder) == ("cached", folder)
    assert fetch(found) == folder


def test_a_half_downloaded_model_does_not_count(catalogue: Catalogue, empty_cache: Path) -> None:
    put_in_cache(empty_cache, "a/b", without="vae/diffusion_pytorch_model.safetensors")
    assert plan("a/b", catalogue).source == "download"


def test_offline_without_the_weights_is_an_error_with_cures(catalogue: Catalogue) -> None:
    with pytest.raises(ModelError) as caught:
        plan("sd-1.5", catalogue, offline=True)
    text = str(caught.value)
    assert "HF_HUB_OFFLINE" in text
    assert "guidance.model=bozzetto-mini" in text
    assert "hf download stable-diffusion-v1-5/stable-diffusion-v1-5" in text


CONVERTED = {
    "mvdream": ("MVDream/MVDream", "2.6 GB", "tools/convert_mvdream.py sd-v2.1-base-4view.pt weights/mvdream"),
    "imagedream": ("Peng-Wang/ImageDream", "4.0 GB", "tools/convert_imagedream.py sd-v2.1-base-4view-ipmv.pt weights/i"),
}  # fmt: skip


@pytest.mark.parametrize("named", ["alias", "repository"])
@pytest.mark.parametrize("alias", CONVERTED)
def test_what_must_be_converted_says_so_and_nothing_is_downloaded(
    catalogue: Catalogue, alias: str, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, size, command = CONVERTED[alias]
    monkeypatch.setattr("bozzetto.weights.download._download", lambda *_: pytest.fail("downloads"))
    found = plan(alias if named == "alias" else repository, catalogue)
    said = found.describe()
    assert f"(one file of {repository}, to be converted: python {command}" in said and "download from" not in said
    assert named == "repository" or f"; the folder after conversion, {size}; memory: worked out" in said
    with pytest.raises(ModelError) as caught:
        fetch(found)
    for text in (f"{repository} holds one file of another layout", f"huggingface.co/{repository}: python {command}"):
        assert text in str(caught.value)
    assert "hf download" not in str(caught.value)


def test_text_encoders_are_not_in_what_stays_in_memory(catalogue: Catalogue, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "mine")
    stay = sum((folder / part / "diffusion_pytorch_model.safetensors").stat().st_size for part in ("unet", "vae"))
    assert plan(str(folder), Catalogue({}), reader=None).kept_bytes == stay
    assert plan("deepfloyd-if", catalogue).kept_bytes == int(8.6e9) < int(18.1e9)
    assert plan("sd-1.5", catalogue).kept_bytes == int(2.1e9)


def test_a_withdrawn_repository_names_its_alias(catalogue: Catalogue, empty_cache: Path) -> None:
    with pytest.raises(ModelError, match=r"withdrawn by its owner.*'sd-1.5'"):
        plan("runwayml/stable-diffusion-v1-5", catalogue)
    put_in_cache(empty_cache, "runwayml/stable-diffusion-v1-5")
    assert plan("runwayml/stable-diffusion-v1-5", catalogue).source == "cached"
    assert plan("sd-1.5", catalogue).source == "cached"


@pytest.mark.parametrize("name", ["sd-1.4", "bozzeto-mini", "./nowhere", "a/b/c"])
def test_a_name_that_is_nothing_is_refused_at_once(catalogue: Catalogue, name: str) -> None:
    with pytest.raises(ModelError, match="There is no model") as caught:
        plan(name, catalogue)
    if name == "bozzeto-mini":
        assert "Did you mean 'bozzetto-mini'?" in str(caught.value)


def test_a_folder_is_used_as_it_is(catalogue: Catalogue, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "mine")
    found = plan(str(folder), catalogue)
    assert (found.source, fetch(found)) == ("folder", folder)


@pytest.mark.parametrize("name", ["v1-5-pruned.safetensors", "models/sd.ckpt", "some-file"])
def test_a_single_file_is_said_to_be_there_and_how_to_make_a_folder_of_it(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(NO_TENSORS)
    with pytest.raises(ModelError) as caught:
        plan(name, catalogue)
    text = str(caught.value)
    assert text.startswith(f"{name} is there, but it is one file, and a folder in diffusers' format is needed")
    assert f"from_single_file('{name}').save_pretrained(" in text and "There is no model" not in text


@pytest.mark.parametrize(
    "name", ["v1-5-pruned.safetensors", "models/sd.ckpt", "~/models/sd", "./sd", "../sd", "/no/such", "a\\b"]
)
def test_a_path_that_leads_nowhere_is_told_as_a_path(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(ModelError, match="There is no model .*: nothing exists at /") as caught:
        plan(name, catalogue)
    if name.startswith("~"):
        assert f"nothing exists at {tmp_path / 'home/models/sd'}" in str(caught.value)
        assert (
            plan(str(write_model(tmp_path / "home/models/sd")), catalogue).source
            == plan(name, catalogue).source
            == "folder"
        )


def test_names_that_are_no_paths_of_this_system_are_one_line(catalogue: Catalogue, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for name in (str(loop), "/" + "x" * 5000, "~nobody-of-this-name/x", "a\0b"):
        with pytest.raises(ModelError, match="There is no model") as caught:
            plan(name, catalogue)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("without", MODEL_FILES)
def test_a_folder_that_lacks_something_says_what(catalogue: Catalogue, tmp_path: Path, without: str) -> None:
    folder = write_model(tmp_path / "mine", without)
    (lacking,) = missing_parts(folder)
    assert without.split("/")[0].removesuffix(".json") in lacking
    with pytest.raises(ModelError, match="not a whole model"):
        plan(str(folder), catalogue)


def test_a_bundled_model_lies_where_its_package_says(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    catalogue = Catalogue({"tiny": [ModelEntry("bozzetto-mine", "1.0", ModelSpec("tiny", folder, licence="CC0"))]})
    with pytest.raises(
        ModelError, match=r"bundled model 'tiny'.* not whole: there is no folder.*Install bozzetto-mine"
    ):
        plan("tiny", catalogue)
    write_model(folder, "vae/config.json")
    with pytest.raises(ModelError, match=r"not whole: vae/config.json is missing\. Install bozzetto-mine again"):
        plan("tiny", catalogue)
    write_model(folder)
    found = plan("bozzetto-mine/tiny", catalogue, offline=True)
    assert (found.source, found.folder, found.licence) == ("bundled", folder, "CC0")
    assert found.size_bytes == sum((folder / name).stat().st_size for name in MODEL_FILES)


def test_without_a_bundled_model_none_is_offered() -> None:
    with pytest.raises(ModelError, match=r"forbids downloads\.\nEither download by hand: hf download a/b "):
        plan("a/b", Catalogue({}), offline=True)


def test_a_run_records_digests(catalogue: Catalogue, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "mine")
    facts = plan(str(folder), catalogue).facts(folder)
    assert facts["source"] == "folder"
    assert len(facts["unet/diffusion_pytorch_model.safetensors"]) == 64


def test_the_hubs_cache_is_not_hashed_again(catalogue: Catalogue, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "mine")
    blob = tmp_path / ("ab" * 32)
    blob.write_bytes(NO_TENSORS)
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.unlink()
    path.symlink_to(blob)
    assert plan(str(folder), catalogue).facts(folder)["unet/diffusion_pytorch_model.safetensors"] == "ab" * 32


def test_planning_imports_no_torch() -> None:
    code = (
        "import sys; from bozzetto.registry.discovery import Registry, installed_sources\n"
        "from bozzetto.weights.catalogue import Catalogue; from bozzetto.weights.plans import plan\n"
        "plan('sd-1.5', Catalogue.of(Registry.discover(installed_sources({})))); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


LANGUAGE_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


def write_language_model(folder: Path, without: str = "") -> Path:
    folder.mkdir(parents=True)
    for name in LANGUAGE_FILES:
        if name != without:
            (folder / name).write_bytes(NO_TENSORS if name.endswith(".safetensors") else b"{}")
    return folder


def test_a_language_model_is_a_folder_of_its_own(catalogue: Catalogue, tmp_path: Path) -> None:
    folder = write_language_model(tmp_path / "bert")
    found = plan(str(folder), catalogue)
    assert found.source == "folder" and missing_parts(folder) == []
    assert "model.safetensors" in found.facts(folder)
    for name, why in (("model.safetensors", "no .safetensors"), ("tokenizer.json", "")):
        broken = write_language_model(tmp_path / f"without-{name}", without=name)
        assert why in "".join(missing_parts(broken))
    with pytest.raises(ModelError, match="there are no .safetensors or .bin weights"):
        plan(str(tmp_path / "without-model.safetensors"), catalogue)


def test_of_a_language_model_only_the_weights_of_one_format_are_fetched() -> None:
    files = [*LANGUAGE_FILES, "README.md", "flax_model.msgpack", "pytorch_model.bin", "coreml/weights/weight.bin"]
    wanted = files_wanted(files)
    assert "model.safetensors" in wanted and "pytorch_model.bin" not in wanted
    chosen = {name for name in files if any(fnmatch(name, pattern) for pattern in wanted)}
    assert chosen == set(LANGUAGE_FILES)


def test_without_a_language_model_the_cure_is_its_component_s(catalogue: Catalogue) -> None:
    with pytest.raises(ModelError, match=r"Either do without debiasing\nor download by hand: hf download google-bert/"):
        plan("bert-base-uncased", catalogue, offline=True, instead="do without debiasing")
