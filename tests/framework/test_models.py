"""Tests of the sources of weights: aliases, folders, the cache, mirrors; no network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

import bozzetto_plugins
from bozzetto.errors import ModelError
from bozzetto.models import ModelPlan, aliases, fetch, files_wanted, missing_parts, plan

MODEL_FILES = (
    "model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors", "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors", "text_encoder/config.json", "text_encoder/model.safetensors",
    "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json",
)  # fmt: skip


NO_TENSORS = (2).to_bytes(8, "little") + b"{}"
"""A safetensors file without any."""


def write_model(folder: Path, without: str = "") -> Path:
    for name in MODEL_FILES:
        if name != without:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(NO_TENSORS if name.endswith(".safetensors") else b"{}")
    return folder


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    return cache


def put_in_cache(cache: Path, repository: str, without: str = "") -> Path:
    root = cache / f"models--{repository.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(commit)
    return write_model(root / "snapshots" / commit, without)


class FakeHub:
    """Hub that has some repositories and refuses others."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, has: dict[str, list[str]]) -> None:
        self.asked: list[str] = []
        self.patterns: list[str] = []
        self.revisions: list[str | None] = []

        class Api:
            def model_info(_, repo_id: str, revision: str | None, timeout: float) -> object:
                assert 0 < timeout <= 30
                self.asked.append(repo_id)
                if repo_id not in has:
                    raise ConnectionError(f"no route to {repo_id}\nsecond line")
                return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in has[repo_id]], sha="abc")

        def download(repo_id: str, revision: str | None, allow_patterns: list[str], etag_timeout: float) -> str:
            self.patterns, self.revisions = list(allow_patterns), [*self.revisions, revision]
            return str(write_model(folder))

        monkeypatch.setattr(huggingface_hub, "HfApi", Api)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)


def test_every_alias_says_where_from_what_size_and_licence() -> None:
    catalogue = aliases()
    assert {"bozzetto-mini", "sd-1.5", "sd-2.1-base", "sd-2.1"} <= set(catalogue)
    for entry in catalogue.values():
        assert entry["licence"]
        assert entry["memory"]
        assert ("bundled" in entry) != (bool(entry.get("repositories")) and entry["size_gb"] > 0)
        assert all("/" in repository for repository in entry.get("repositories", ()))


def test_an_alias_is_a_download_when_nothing_is_cached() -> None:
    found = plan("sd-1.5")
    assert (found.source, found.folder, found.revision) == ("download", None, None)
    assert found.repositories[0] == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert "download from stable-diffusion-v1-5/stable-diffusion-v1-5, 2.1 GB" in found.describe()
    assert "RAIL" in found.describe()


def test_the_cache_is_honoured_even_of_a_later_mirror(empty_cache: Path) -> None:
    folder = put_in_cache(empty_cache, aliases()["sd-2.1-base"]["repositories"][1])
    found = plan("sd-2.1-base", offline=True)
    assert (found.source, found.folder) == ("cached", folder)
    assert fetch(found) == folder


def test_a_half_downloaded_model_does_not_count(empty_cache: Path) -> None:
    put_in_cache(empty_cache, "a/b", without="vae/diffusion_pytorch_model.safetensors")
    assert plan("a/b").source == "download"


def test_offline_without_the_weights_is_an_error_with_cures() -> None:
    with pytest.raises(ModelError) as caught:
        plan("sd-1.5", offline=True)
    text = str(caught.value)
    assert "HF_HUB_OFFLINE" in text
    assert "guidance.model=bozzetto-mini" in text
    assert "hf download stable-diffusion-v1-5/stable-diffusion-v1-5" in text


def test_a_withdrawn_repository_names_its_alias(empty_cache: Path) -> None:
    with pytest.raises(ModelError, match=r"withdrawn by its owner.*'sd-1.5'"):
        plan("runwayml/stable-diffusion-v1-5")
    put_in_cache(empty_cache, "runwayml/stable-diffusion-v1-5")
    assert plan("runwayml/stable-diffusion-v1-5").source == "cached"
    assert plan("sd-1.5").source == "cached"


@pytest.mark.parametrize("name", ["sd-1.4", "bozzeto-mini", "./nowhere", "a/b/c"])
def test_a_name_that_is_nothing_is_refused_at_once(name: str) -> None:
    with pytest.raises(ModelError, match="There is no model") as caught:
        plan(name)
    if name == "bozzeto-mini":
        assert "Did you mean 'bozzetto-mini'?" in str(caught.value)


def test_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "mine")
    found = plan(str(folder))
    assert (found.source, fetch(found)) == ("folder", folder)


@pytest.mark.parametrize("name", ["v1-5-pruned.safetensors", "models/sd.ckpt", "some-file"])
def test_a_single_file_is_said_to_be_there_and_how_to_make_a_folder_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(NO_TENSORS)
    with pytest.raises(ModelError) as caught:
        plan(name)
    text = str(caught.value)
    assert text.startswith(f"{name} is there, but it is one file, and a folder in diffusers' format is needed")
    assert f"from_single_file('{name}').save_pretrained(" in text and "There is no model" not in text


@pytest.mark.parametrize(
    "name", ["v1-5-pruned.safetensors", "models/sd.ckpt", "~/models/sd", "./sd", "../sd", "/no/such", "a\\b"]
)
def test_a_path_that_leads_nowhere_is_told_as_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(ModelError, match="There is no model .*: nothing exists at /") as caught:
        plan(name)
    if name.startswith("~"):
        assert f"nothing exists at {tmp_path / 'home/models/sd'}" in str(caught.value)
        assert plan(str(write_model(tmp_path / "home/models/sd"))).source == plan(name).source == "folder"


def test_names_that_are_no_paths_of_this_system_are_one_line(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for name in (str(loop), "/" + "x" * 5000, "~nobody-of-this-name/x", "a\0b"):
        with pytest.raises(ModelError, match="There is no model") as caught:
            plan(name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("without", MODEL_FILES)
def test_a_folder_that_lacks_something_says_what(tmp_path: Path, without: str) -> None:
    folder = write_model(tmp_path / "mine", without)
    (lacking,) = missing_parts(folder)
    assert without.split("/")[0].removesuffix(".json") in lacking
    with pytest.raises(ModelError, match="not a whole model"):
        plan(str(folder))


@pytest.mark.parametrize("name", [name for name, entry in aliases().items() if "bundled" in entry])
def test_the_bundled_model_lies_beside_the_plugins(name: str) -> None:
    found = plan(name, offline=True)
    (plugins,) = bozzetto_plugins.__path__
    assert (found.source, found.folder) == ("bundled", Path(plugins) / "priors" / name)
    assert found.size_bytes == sum(path.stat().st_size for path in found.folder.rglob("*") if path.is_file()) > 1e6
    assert fetch(found) == found.folder


def test_an_installation_without_the_bundled_model_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bozzetto_plugins.__spec__, "submodule_search_locations", [str(tmp_path)])
    with pytest.raises(ModelError, match=f"is not in {tmp_path}/priors/bozzetto-mini: this installation is incomplete"):
        plan("bozzetto-mini")


def test_mirrors_are_tried_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = FakeHub(monkeypatch, tmp_path / "got", {"second/mirror": list(MODEL_FILES)})
    folder = fetch(ModelPlan("x", "download", None, ("first/mirror", "second/mirror@v2")))
    assert folder == tmp_path / "got"
    assert hub.asked == ["first/mirror", "second/mirror"]
    assert hub.revisions == ["v2"]


def test_when_no_mirror_answers_all_reasons_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lacking = [name for name in MODEL_FILES if "unet/diff" not in name] + ["unet/diffusion_pytorch_model.onnx"]
    FakeHub(monkeypatch, tmp_path / "got", {"second/mirror": lacking})
    with pytest.raises(ModelError) as caught:
        fetch(ModelPlan("sd-1.6", "download", None, ("first/mirror@v1", "second/mirror")))
    text = str(caught.value)
    assert "first/mirror@v1: ConnectionError: no route to first/mirror\n" in text
    assert "second/mirror: ModelError: unet has no .safetensors or .bin weights" in text
    assert "Did you mean 'sd-1.5'?" in text
    assert "hf download first/mirror --revision v1 --local-dir FOLDER" in text


def test_a_mirror_of_pickles_is_converted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    files = [name.replace(".safetensors", ".bin") for name in MODEL_FILES]
    FakeHub(monkeypatch, tmp_path / "got", {"kxic/zero": files})
    got = tmp_path / "got"

    def download(repo_id: str, revision: str | None, allow_patterns: list[str], etag_timeout: float) -> str:
        assert "unet/diffusion_pytorch_model.bin" in allow_patterns
        write_model(got)
        for path in got.glob("*/*.safetensors"):
            torch.save({"weight": torch.ones(2)}, path.with_suffix(".bin"))
            path.unlink()
        return str(got)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    found = fetch(ModelPlan("x", "download", None, ("kxic/zero",)))
    assert torch.equal(load_file(found / "unet" / "diffusion_pytorch_model.safetensors")["weight"], torch.ones(2))
    assert missing_parts(found) == [] and not list(found.rglob("*.bin"))


def test_half_precision_is_downloaded_where_there_is_a_choice() -> None:
    both = [name.replace(".safetensors", ".fp16.safetensors") for name in MODEL_FILES if name.endswith(".safetensors")]
    other = ["unet/diffusion_pytorch_model.non_ema.safetensors", "unet/diffusion_pytorch_model.bin", "v1-5.safetensors"]
    wanted = files_wanted([*MODEL_FILES, *both, *other])
    assert [name for name in wanted if name.endswith(".safetensors")] == both
    plain = files_wanted([*MODEL_FILES, *other])
    assert [n for n in plain if n.endswith(".safetensors")] == [n for n in MODEL_FILES if n.endswith(".safetensors")]


def test_variants_and_pickles_are_taken_where_there_is_nothing_better() -> None:
    def weights(*names: str) -> list[str]:
        others = [name for name in MODEL_FILES if not name.startswith("unet/diff")]
        wanted = files_wanted([*others, *(f"unet/diffusion_pytorch_model{name}" for name in names)])
        return [name.removeprefix("unet/diffusion_pytorch_model") for name in wanted if name.startswith("unet/diff")]

    assert weights(".fp16_ema.safetensors", ".safetensors", ".bin") == [".fp16_ema.safetensors"]
    assert weights(".fp16_ema.safetensors", ".fp16.safetensors") == [".fp16.safetensors"]
    assert weights(".bin", ".fp16.bin", ".non_ema.bin") == [".fp16.bin"]
    assert weights(".non_ema.safetensors", ".safetensors") == [".safetensors"]
    assert weights(".bin") == [".bin"]
    shards = ["-00001-of-00002.fp16_ema.safetensors", "-00002-of-00002.fp16_ema.safetensors"]
    assert weights(*shards, ".bin") == shards


def test_sharded_weights_are_downloaded_whole() -> None:
    shards = [f"unet/diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert set(shards) <= set(files_wanted([*MODEL_FILES, *shards]))


def test_a_run_records_digests(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "mine")
    facts = plan(str(folder)).facts(folder)
    assert facts["source"] == "folder"
    assert len(facts["unet/diffusion_pytorch_model.safetensors"]) == 64


def test_the_hubs_cache_is_not_hashed_again(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "mine")
    blob = tmp_path / ("ab" * 32)
    blob.write_bytes(NO_TENSORS)
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.unlink()
    path.symlink_to(blob)
    assert plan(str(folder)).facts(folder)["unet/diffusion_pytorch_model.safetensors"] == "ab" * 32


def test_planning_imports_no_torch() -> None:
    code = "import sys; from bozzetto.models import plan; plan('sd-1.5'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
