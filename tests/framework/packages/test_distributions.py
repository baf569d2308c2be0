"""Tests of the source distribution and the wheel, built from a used working copy as for a release.

No network: the build tools of this environment are used. No compiler either, which takes a minute: the kernels are optional,
and setup.py leaves them out without one. CI builds the wheel once more, with them.
"""

import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
LEFT_BEHIND = (
    ".mypy_cache/3.11/cache.json", ".venv/lib/module.py", "build/lib/module.py", "dist/old.whl", "outputs/run/mesh.glb",
    "bozzetto.egg-info/SOURCES.txt", "framework/bozzetto/__pycache__/types.cpython-311.pyc",
    "framework/bozzetto/kernels/cpp/_native.so", "tests/.pytest_cache/README.md", "tests/.hypothesis/example",
    "tools/gltf_validator/node_modules/gltf-validator/index.js", "tools/bozzetto_priors/__pycache__/a.cpython-311.pyc",
    "examples/bozzetto-voxels/src/bozzetto_voxels.egg-info/PKG-INFO",
    "examples/bozzetto-voxels/build/lib/module.py", "examples/bozzetto-voxels/dist/old.whl",
)  # fmt: skip
"""What work leaves behind in a copy of the repository."""

IN_WHEEL = {"framework/": "", "plugins/": "", "configs/": "bozzetto_recipes/"}
"""Folders of the repository that are installed, and where."""


@dataclass(frozen=True)
class Built:
    """Names of the tracked files, and the two distributions."""

    tracked: frozenset[str]
    source: Path
    wheel: Path


def tracked_files() -> frozenset[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return frozenset(name for name in listed.split("\0") if name and (ROOT / name).exists())


def build(folder: Path) -> None:
    """Build into `dist` below a folder, from a copy of the repository in which somebody has worked."""
    tree = folder / "tree"
    for name in tracked_files():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes((ROOT / name).read_bytes())
    for name in LEFT_BEHIND:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("left behind\n")
    no_compiler = {"CC": "/no/compiler", "CXX": "/no/compiler"}
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", tree]
    done = subprocess.run(command, env={**os.environ, **no_compiler}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def built(made_once) -> Built:
    """Return the distributions, built by the first worker that needs them."""
    if not (ROOT / ".git").exists():
        pytest.skip("what belongs into a distribution is known from git, and this is no git repository")
    folder = made_once("distributions", build) / "dist"
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Built(tracked_files(), source, wheel)


def test_the_source_distribution_is_what_git_tracks(built):
    with tarfile.open(built.source) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    added = {name for name in names if name == "PKG-INFO" or name.startswith("bozzetto.egg-info/")}
    assert names - added == built.tracked


def test_the_wheel_is_the_packages_and_their_data(built):
    with zipfile.ZipFile(built.wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = set()
    for folder, installed in IN_WHEEL.items():
        files = (name for name in built.tracked if name.startswith(folder) and not name.endswith((".cpp", ".h")))
        expected |= {installed + name.removeprefix(folder) for name in files}
    assert names == expected


def test_an_index_accepts_both(built):
    command = [sys.executable, "-m", "twine", "check", "--strict", built.source, built.wheel]
    done = subprocess.run(command, env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_licences_of_code_and_weights_are_in_the_metadata(built):
    with zipfile.ZipFile(built.wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    assert "License-Expression: Apache-2.0" in lines and "Author: The Bozzetto authors" in lines
    files = {line.partition(": ")[2] for line in lines if line.startswith("License-File: ")}
    priors = {name for name in built.tracked if name.endswith("/ATTRIBUTION.md")}
    others = {name for name in built.tracked if name.startswith("plugins/") and name.endswith("/LICENSE.txt")}
    assert files == {"LICENSE", *priors, *others} and len(priors) == 2 and others


def test_the_wheel_has_all_that_a_shipped_recipe_needs(built, tmp_path):
    """From another folder: packages, recipes, bundled weights and the entry points."""
    with zipfile.ZipFile(built.wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = "import sys, bozzetto; from bozzetto.cli import main; print(bozzetto.__file__); sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "check", "dreamfusion-sd", "--profile", "cpu"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(str(tmp_path / "site")) and "ok: the recipe is valid" in done.stdout
