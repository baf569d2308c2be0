"""Python environment into which pip has installed third-party packages; shared by all tests and workers.

It contains the packages in `examples`, a package of each kind as written by `bozzetto plugins new`, and one package for each
fault. No network: pip builds with the installed build tools, and packages of this environment are visible there.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import filelock
import pytest

from bozzetto.authoring.scaffold import write_package
from bozzetto.kinds import KINDS
from bozzetto.testing.fakes import tiny_stable_diffusion

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted(path.parent.name for path in ROOT.glob("examples/*/pyproject.toml"))
LEFT_BEHIND = shutil.ignore_patterns("build", "*.egg-info", "__pycache__", ".*_cache")

BROKEN: dict[str, dict] = {
    "raises": {"before": "raise RuntimeError('no luck')\n"},
    "interrupts": {"before": "raise KeyboardInterrupt('mine')\n"},
    "wrongapi": {"api": 99},
    "clash": {"name": "sparsity"},
    "plainconfig": {"config": "Plain"},
    "madeconfig": {"config": "made"},
    "notarget": {"target": "Nowhere"},
    "slow": {"before": "import torch\n"},
}
"""Packages by what is wrong with each."""

SPEC = """\
from bozzetto import ComponentSpec, hookimpl


@hookimpl
def bozzetto_components():
    yield ComponentSpec(
        kind="loss", name="{name}", target="{package}.part:{target}", config="{package}.part_config:{config}",
        summary="A loss.", api={api},
    )
"""
PART = """\
class Part:
    def __init__(self, config):
        self.config = config

    def __call__(self, inputs):
        return inputs.rendered.opacity.mean()
"""
CONFIG = """\
from dataclasses import dataclass


@dataclass(frozen=True)
class PartConfig:
    pass


class Plain:
    levels = 3


made = type("made", (), {})
"""
PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = '''\
"""Puts a package and its metadata into a wheel: as much of a build backend as these packages need, and quick."""

import pathlib
import zipfile

STEM = "{stem}"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    info = f"bozzetto_{{STEM}}-1.2.dist-info"
    files = {{str(path): path.read_text() for path in pathlib.Path(f"bozzetto_{{STEM}}").glob("*.py")}}
    files[f"{{info}}/METADATA"] = f"Metadata-Version: 2.1\\nName: bozzetto-{{STEM}}\\nVersion: 1.2\\n"
    files[f"{{info}}/WHEEL"] = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    files[f"{{info}}/entry_points.txt"] = f"[bozzetto.plugins]\\n{{STEM}} = bozzetto_{{STEM}}.manifest\\n"
    files[f"{{info}}/RECORD"] = "".join(f"{{name}},,\\n" for name in [*files, f"{{info}}/RECORD"])
    wheel = f"bozzetto_{{STEM}}-1.2-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel
'''


@dataclass(frozen=True)
class Place:
    """Environment and the packages' sources."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "env" / "bin" / "python"

    @property
    def model(self) -> Path:
        """Return the folder of a Stable Diffusion of a few kilobytes."""
        return self.folder / "model"

    def source(self, distribution: str) -> Path:
        return self.folder / "src" / distribution


def write_broken(folder: Path, stem: str, before="", **fields) -> Path:
    """Write a package with one loss that has one fault."""
    package = folder / f"bozzetto_{stem}"
    package.mkdir(parents=True)
    values = {"name": stem, "target": "Part", "config": "PartConfig", "api": 1, "package": package.name, **fields}
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND.format(stem=stem))
    (package / "__init__.py").write_text("")
    (package / "manifest.py").write_text(before + SPEC.format(**values))
    (package / "part.py").write_text(PART)
    (package / "part_config.py").write_text(CONFIG)
    return folder


def make_environment(folder: Path) -> None:
    """Create a virtual environment that also imports everything installed in this one."""
    venv.create(folder, with_pip=False)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    here = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    lines = [f"import site; site.addsitedir({path!r})" for path in here]
    (packages / "parent.pth").write_text("\n".join(lines) + "\n")


def fill(place: Place) -> None:
    """Write the sources and install them, all with one call of pip."""
    make_environment(place.folder / "env")
    sources = [shutil.copytree(ROOT / "examples" / name, place.source(name), ignore=LEFT_BEHIND) for name in EXAMPLES]
    sources += [write_package(place.folder / "src", f"my-{kind}", kind) for kind in KINDS]
    sources += [write_broken(place.source(f"bozzetto-{name}"), name, **fields) for name, fields in BROKEN.items()]
    options = ["-q", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation", "--no-compile"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(place.python), "install", *options, *map(str, sources)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    tiny_stable_diffusion(place.model)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Return a function that gives a folder shared by all workers; the first one that needs it fills it with `fill`."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder(name, fill):
        with filelock.FileLock(shared / f"{name}.lock"):
            if not (shared / f"{name}.filled").exists():
                fill(shared / name)
                (shared / f"{name}.filled").touch()
        return shared / name

    return folder


@pytest.fixture(scope="session")
def place(made_once) -> Place:
    """Return the environment, created by the first worker that needs it."""
    return Place(made_once("packages", lambda folder: fill(Place(folder))))


@pytest.fixture
def shell(tmp_path):
    """Return a folder, and shell variables with `python`, `pip` and `bozzetto` of a new environment; no network."""
    make_environment(tmp_path / "env")
    commands = tmp_path / "bin"
    commands.mkdir()
    python = tmp_path / "env" / "bin" / "python"
    pip = f"{sys.executable} -m pip --disable-pip-version-check --python {python}"
    for name, line in {
        "python": f'exec {python} "$@"',
        "pip": f'action=$1; shift; exec {pip} "$action" --no-index --no-deps --no-build-isolation "$@"',
        "bozzetto": f'exec {python} {ROOT / "launch.py"} "$@"',
    }.items():
        (commands / name).write_text(f"#!/bin/sh\n{line}\n")
        (commands / name).chmod(0o755)
    variables = {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
    variables |= {"BOZZETTO_CACHE": str(tmp_path / "cache"), "COLUMNS": "160", "OMP_NUM_THREADS": "1"}
    work = tmp_path / "work"
    work.mkdir()
    return work, variables


BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return language and text of every block of a page."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def expected(text: str) -> str:
    """Convert a `text` block to a pattern in which `...` matches anything."""
    escaped = re.sub(r"([\[\]?*])", r"[\1]", text)
    return "*" + re.sub(r"\s*\.\.\.\s*", "*", escaped.strip()) + "*"


@pytest.fixture
def follow(shell):
    """Execute every block of a page, in order, with the shown output; files are below `package`."""

    def page(path: Path, package: str) -> None:
        folder, variables = shell
        seen = ""
        for language, text in blocks(path):
            if language == "text":
                assert fnmatch.fnmatchcase(seen, expected(text)), f"{text}\nis not what was seen:\n{seen}"
            elif language == "bash":
                seen = in_shell(folder, variables, text)
            else:
                target, content = text.split("\n", 1)
                (folder / package / target[2:]).write_text(content)

    return page


def in_shell(folder: Path, variables: dict[str, str], text: str) -> str:
    """Run a block in a shell of its own, in the folder where the block before it ended; return its output."""
    where = folder / ".where"
    done = subprocess.run(
        ["bash", "-c", f"set -e\n{text}\npwd >{where}"], cwd=where.read_text().strip() if where.exists() else folder,
        env=variables, text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == (2 if text.rstrip().endswith("# exits with 2") else 0), f"{text}\n{done.stdout}"
    return done.stdout


@pytest.fixture
def run(place, tmp_path):
    """Run a Python command where the packages are installed; return code, output and errors.

    `only` lists the enabled broken packages; empty: all of them, `none`: none.
    """

    def command(*arguments, only="", cwd=tmp_path, **environment):
        blocked = ",".join(f"bozzetto-{name}" for name in BROKEN if only and name not in only.split())
        env = {**os.environ, "BOZZETTO_DISABLE": blocked, "COLUMNS": "80", "HF_HUB_OFFLINE": "1"}
        env |= {"BOZZETTO_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
        env |= {"BOZZETTO_PLUGIN_SECONDS": "120", **environment}  # one imports torch, slow on a busy machine
        done = subprocess.run(
            [str(place.python), *map(str, arguments)], capture_output=True, text=True, env=env, cwd=cwd, check=False
        )
        return done.returncode, done.stdout, done.stderr

    return command


@pytest.fixture
def bozzetto(run):
    """Run the command line."""

    def command(*arguments, only="", **environment):
        return run(ROOT / "launch.py", *arguments, only=only, **environment)

    return command
