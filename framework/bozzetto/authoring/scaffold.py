"""`bozzetto plugins new`: writes a plugin package from the templates in `bozzetto/authoring/templates`."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import yaml

from bozzetto.errors import ConfigError
from bozzetto.files import write_text
from bozzetto.kinds import KINDS

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".template"
TAKEN = ("config", "manifest", "prior", "recipes", "weights")
"""Module names that the package already uses."""
WHOLE_LINES = ("reads", "further_rows")
"""Placeholders that stand for whole lines, or none."""


def write_package(into: Path, name: str, kind: str) -> Path:
    """Write a package with one component of a kind, and return its folder.

    Args:
        into: parent folder of the package.
        name: name of the component in kebab-case; the package is `bozzetto-<name>`.

    Raises:
        ConfigError: the name cannot be used, or the folder exists already.
    """
    name = name.removeprefix("bozzetto-")
    module = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ConfigError(f"{name!r} is not a name in kebab-case: lower-case letters, digits, hyphens. E.g. voxel-box.")
    if module in TAKEN or keyword.iskeyword(module) or module == "plugins":
        raise ConfigError(f"{name!r} is taken: it would clash with another module. Choose another name.")
    folder = into / f"bozzetto-{name}"
    if folder.exists():
        raise ConfigError(f"{folder} is there already. Choose another name, or another folder with --into.")
    words = _words(name, module, kind)
    files = {**_files(TEMPLATES / "common"), **_files(TEMPLATES / kind)}
    if any(re.search(rf"^from .* import .*\b{words['Class']}\b", text, re.MULTILINE) for text in files.values()):
        raise ConfigError(f"{name!r} is taken: {words['Class']} is a class of the host. Choose another name.")
    for path, text in files.items():
        target = folder / _filled(path, words)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, _filled(text, words))
    return folder


def next_steps(folder: Path) -> str:
    """Return the commands to run next in a new package."""
    dist = folder.name
    name = dist.removeprefix("bozzetto-")
    return (
        f"wrote {folder}. Next:\n"
        f"  pip install -e '{folder}[test]'\n"
        f"  bozzetto plugins check {dist}\n"
        f"  python -m pytest {folder}\n"
        f"  bozzetto run --config {dist}/{name}"
    )


def _words(name: str, module: str, kind: str) -> dict[str, str]:
    """Return the value of each `@word@` placeholder of a template."""
    declared = yaml.safe_load((TEMPLATES / kind / "declared.yaml").read_text(encoding="utf-8"))
    lines = [
        f"        {field}=frozenset({{{', '.join(f'{value!r}' for value in values)}}}),\n".replace("'", '"')
        for field, values in declared.items()
        if field not in ("summary", "modules")
    ]
    further: Mapping[str, str] = declared.get("modules", {})
    changed = [f"`{one}`" for one in (f"{module}.py", "config.py", *further)]
    major, minor, *_ = version("bozzetto").split(".")
    return {
        "name": name,
        "module": module,
        "Class": "".join(part.capitalize() for part in name.split("-")),
        "package": f"bozzetto_{module}",
        "distribution": f"bozzetto-{name}",
        "kind": kind,
        "summary": declared["summary"],
        "api": str(KINDS[kind].api),
        "reads": "".join(lines),
        "further_rows": "".join(f"| `src/bozzetto_{module}/{one}` | {what} |\n" for one, what in further.items()),
        "changed": f"{', '.join(changed[:-1])} and {changed[-1]}",
        "host_versions": f">={major}.{minor},<{int(major) + 1}",
    }


def _files(folder: Path) -> dict[str, str]:
    """Return the text of every template below a folder by path; `dot-` at the start of a name means a dot."""
    found = {}
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        name = re.sub(r"(^|/)dot-", r"\1.", path.relative_to(folder).as_posix())
        found[name.removesuffix(SUFFIX)] = path.read_text(encoding="utf-8")
    return found


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"@{word}@\n" if word in WHOLE_LINES else f"@{word}@", value)
    return text
