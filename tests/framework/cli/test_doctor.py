"""Tests of `bozzetto doctor`: every line gives a reason, and nothing waits for a network."""

import socket
import threading
from types import SimpleNamespace

import pytest

from bozzetto.cli import doctor
from bozzetto.kernels.cpp import native
from bozzetto.machine.accelerators import Accelerator
from bozzetto.registry.discovery import Registry, Source, installed_sources


@pytest.fixture
def registry():
    return Registry.discover([source for source in installed_sources({}) if source.dist == "bozzetto"])


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_every_topic_has_a_line(registry, offline, capsys):
    assert doctor.doctor(registry) == 0
    out = capsys.readouterr().out
    topics = {line[7:19].strip() for line in out.splitlines()}
    assert topics >= {
        "bozzetto", "torch", "device", "memory", "compiler", "kernels", "gpu kernels", "warp", "tinycudann", "nerfacc", "nvdiffrast",
        "xformers", "accelerate", "hub cache", "hub", "recipe", "weights", "disk", "plugins",
    }  # fmt: skip
    assert "downloads are forbidden by HF_HUB_OFFLINE" in out and "bozzetto/dreamfusion-sd, profile" in out


def test_the_table_of_cuda_packages_agrees_with_the_adapters():
    from bozzetto.kernels.cuda.packages import KERNELS_OF

    assert list(doctor.CUDA_PACKAGES) == list(KERNELS_OF)
    for package in ("nerfacc", "nvdiffrast"):
        assert doctor.CUDA_PACKAGES[package].startswith(", ".join(KERNELS_OF[package]))


@pytest.mark.parametrize(
    ("named", "there", "told"),
    [
        ("", ("warp",), "ok a GPU would run them with warp (trainer.kernels)"),
        ("", (), "note a GPU would run them as torch operations: warp not installed; pip install 'bozzetto[cuda]'"),
        ("nvdiffrast,warp", ("warp", "nvdiffrast"), "ok a GPU would run them with nvdiffrast, warp (BOZZETTO_KERNELS)"),
        ("torch", ("warp",), "note a GPU would run them as torch operations: BOZZETTO_KERNELS names none"),
        ("wrap", ("warp",), "WRONG BOZZETTO_KERNELS: there are no kernels 'wrap'"),
    ],
)
def test_it_says_which_kernels_a_gpu_would_use(monkeypatch, named, there, told):
    monkeypatch.setattr(doctor, "installed", lambda name: name in there)
    monkeypatch.setenv("BOZZETTO_KERNELS", named)
    finding = doctor.gpu_kernels()
    assert f"{finding.mark} {finding.text}".startswith(told)


def test_optional_packages_give_their_reason(monkeypatch):
    monkeypatch.setattr(doctor, "installed", lambda name: name == "nerfacc")
    monkeypatch.setenv("BOZZETTO_KERNELS", "")
    unasked = {finding.title: finding.text for finding in doctor.optional_packages(cuda=True)}
    assert "only if trainer.kernels or BOZZETTO_KERNELS names it" in unasked["nerfacc"]
    monkeypatch.setenv("BOZZETTO_KERNELS", "nerfacc")
    without_gpu = {finding.title: finding.text for finding in doctor.optional_packages(cuda=False)}
    with_gpu = {finding.title: finding.text for finding in doctor.optional_packages(cuda=True)}
    assert "not installed" in without_gpu["tinycudann"] and "no CUDA device here" in without_gpu["nerfacc"]
    assert "tried on first use for march, composite" in with_gpu["nerfacc"]


def test_a_name_look_up_that_hangs_is_not_waited_for(monkeypatch):
    answered = threading.Event()

    def hang(address, timeout):
        answered.wait(5)
        raise OSError("too late")

    monkeypatch.setattr(doctor, "REACH_S", 0.05)
    monkeypatch.setattr(socket, "create_connection", hang)
    assert doctor.unreachable("nowhere.invalid", 443) == "no answer in 0.05 s"
    answered.set()


def test_a_hub_that_answers_and_one_that_refuses(monkeypatch):
    class Connection:
        def close(self):
            pass

    monkeypatch.setattr(socket, "create_connection", lambda address, timeout: Connection())
    assert doctor.unreachable("example.invalid", 443) == ""

    def refuse(address, timeout):
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    assert doctor.unreachable("example.invalid", 443) == "refused"


@pytest.fixture
def library(monkeypatch, tmp_path):
    """Return the place of the compiled kernels in an empty folder that is searched instead of their package."""
    spec = SimpleNamespace(submodule_search_locations=(str(tmp_path),))
    found = {"bozzetto.kernels.cpp": spec}
    monkeypatch.setattr(doctor.importlib.util, "find_spec", found.__getitem__)
    return tmp_path / f"_native{doctor.EXTENSION_SUFFIXES[0]}"


@pytest.mark.parametrize(("content", "told"), [(None, "not built"), ("not a library", "cannot be loaded")])
def test_the_kernels_say_why_they_are_not_used(library, content, told):
    if content is not None:
        library.write_text(content)
    finding = doctor.kernels()
    assert finding.mark == "note" and told in finding.text and "reinstall bozzetto" in finding.text.lower()


@pytest.mark.parametrize(
    ("runs", "mark", "told"), [(0, "note", "built for another processor"), (1, "ok", "compiled C++ is used")]
)
def test_kernels_that_load_say_whether_they_run_on_this_processor(monkeypatch, library, runs, mark, told):
    library.touch()
    loaded = {str(library): SimpleNamespace(bozzetto_runs_here=lambda: runs)}
    monkeypatch.setattr(doctor.ctypes, "CDLL", loaded.__getitem__)
    finding = doctor.kernels()
    assert finding.mark == mark and told in finding.text


def test_the_kernels_of_this_installation_are_told_as_they_are_used():
    assert (doctor.kernels().mark == "ok") == (native.library() is not None)


def test_no_compiler_and_no_torch_are_told(monkeypatch, registry, offline):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor.compiler().mark == "note"
    monkeypatch.setattr(doctor, "version_of", lambda package: "")
    found = {finding.title: finding for finding in doctor.findings(registry)}
    assert found["torch"].mark == "WRONG" and "pip install torch" in found["torch"].text


def test_a_recipe_that_does_not_load_and_broken_plugins_are_notes(registry, tmp_path):
    (tmp_path / "bad.yaml").write_text("promt: x\n")
    registry.recipe_folders.append(("mine", tmp_path))
    found = list(doctor.weights(registry, Accelerator("cpu", "no CUDA device found")))
    assert any(finding.mark == "note" and "promt is not known" in finding.text for finding in found)
    broken = Registry.discover(
        [*(s for s in installed_sources({}) if s.dist == "bozzetto"), Source("x", "0", "y", "no_such")]
    )
    assert "1 broken" in doctor.plugins(broken).text
    assert doctor.plugins(Registry.discover([])).mark == "WRONG"
