"""The reference: one page per component, one for the hooks, one for recipes. `plugins show` prints the same text.

Imports no torch.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bozzetto import hookspecs
from bozzetto.config import FieldHelp, describe
from bozzetto.files import write_text
from bozzetto.recipe import STAGE, SYSTEM, TASK, TOP, OptimizerConfig, TrainerConfig
from bozzetto.registry import Entry, Registry
from bozzetto.sources import canonical
from bozzetto.spec import API, load

MARK = "<!-- Made by `bozzetto plugins docs`; change the docstrings instead. -->"
WIDTH = 110


def component_page(entry: Entry) -> str:
    """What a component is, and each field of its config with type, default and meaning."""
    spec = entry.spec
    facts = [f"From `{entry.dist}`; {spec.kind} api {spec.api}."]
    for word, names in (("Provides", spec.provides), ("Needs", spec.needs), ("Needs the packages", spec.requires)):
        facts += [f"{word} {', '.join(sorted(names))}."] if names else []
    described = describe(load(spec.config))
    about = inspect.getdoc(load(spec.config)) or ""
    if about.startswith(f"{spec.config.partition(':')[2]}("):  # what dataclass makes up where there is no docstring
        about = ""
    lines = [f"# {spec.kind}/{spec.name}", "", *_wrapped(_sentence(spec.summary)), "", *_wrapped(" ".join(facts)), ""]
    lines += [*_wrapped(about), ""] if about else []
    lines += ["```yaml", *_example(entry, described), "```", "", "## Fields", ""]
    return "\n".join([*lines, *_fields(described)]).rstrip() + "\n"


def hooks_page() -> str:
    """Every hook with its signature and docstring."""
    lines = ["# Hooks", "", *_wrapped(inspect.getdoc(hookspecs) or ""), ""]
    lines += ["```python", "from bozzetto import hookimpl", "```", ""]
    for name, function in vars(hookspecs).items():
        if hasattr(function, "bozzetto_spec"):
            lines += [f"## `{name}`", "", "```python", "@hookimpl", f"def {name}{_signature(function)}: ...", "```", ""]
            lines += [*_wrapped(inspect.getdoc(function) or ""), ""]
    return "\n".join(lines).rstrip() + "\n"


def recipe_page() -> str:
    """Every key of a recipe that is no component's."""
    lines = ["# Recipes", "", "The keys of a recipe; those of its components are on their own pages.", ""]
    groups: tuple[tuple[str, Mapping[str, str]], ...] = (
        ("Top level", TOP), ("`system`", SYSTEM), ("`system.tasks.NAME`", TASK), ("`stages.NAME`", STAGE),
    )  # fmt: skip
    for title, keys in groups:
        lines += [f"## {title}", "", *(line for key, text in keys.items() for line in _item(f"`{key}`", text)), ""]
    for title, schema in (("`trainer`", TrainerConfig), ("`system.optimizer`", OptimizerConfig)):
        lines += [f"## {title}", "", *_fields(describe(schema)), ""]
    return "\n".join(lines).rstrip() + "\n"


def pages(registry: Registry, dist: str | None = None) -> dict[str, str]:
    """Every page by its path below the folder of the reference.

    Args:
        dist: only the components of this distribution.
    """
    entries = [
        entry
        for _, found in sorted(registry.entries.items())
        for entry in found
        if (dist is None or entry.dist == canonical(dist)) and entry.spec.kind in API
    ]
    twice = [key for key, found in registry.entries.items() if len([e for e in found if e in entries]) > 1]
    made = {}
    for entry in entries:
        spec = entry.spec
        stem = f"{entry.dist}.{spec.name}" if (spec.kind, spec.name) in twice else spec.name
        made[f"{spec.kind}/{stem}.md"] = component_page(entry)
    if dist is None or canonical(dist) == "bozzetto":
        made |= {"hooks.md": hooks_page(), "recipe.md": recipe_page()}
    made["README.md"] = _index(made, {f"{e.spec.kind}/{e.spec.name}.md": e.spec.summary for e in entries})
    return {path: f"{MARK}\n\n{text}" for path, text in made.items()}


def write_pages(folder: Path, registry: Registry, dist: str | None = None) -> list[Path]:
    """Write the pages that differ, remove made pages of what is no more; returns the paths that changed."""
    wanted = {folder / path: text for path, text in pages(registry, dist).items()}
    changed = []
    for path, text in wanted.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            changed.append(write_text(path, text))
    for path in sorted(folder.rglob("*.md")):
        if path not in wanted and path.read_text(encoding="utf-8").startswith(MARK):
            path.unlink()
            changed.append(path)
    return changed


def _index(made: Mapping[str, str], summaries: Mapping[str, str]) -> str:
    lines = ["# Reference", ""]
    general = [path for path in made if "/" not in path]
    by_hand = ["public-api.md", "testing.md"] if general else []
    lines += [f"- [{path.removesuffix('.md')}]({path})" for path in [*general, *by_hand]]
    for kind in dict.fromkeys(path.partition("/")[0] for path in made if "/" in path):
        lines += ["", f"## {kind}", ""]
        for path in (path for path in made if path.startswith(f"{kind}/")):
            name = path.partition("/")[2].removesuffix(".md")
            lines += _item(f"[{name}]({path})", _sentence(summaries.get(path, "")))
    return "\n".join(lines) + "\n"


def _fields(described: Iterable[FieldHelp]) -> list[str]:
    lines = [line for item in described for line in _item(f"`{item.name}: {item.type} = {item.default}`", item.text)]
    return lines or ["Nothing to set."]


def _example(entry: Entry, described: list[FieldHelp]) -> list[str]:
    """How a recipe names the component, with what it must be given."""
    spec = entry.spec
    needed = [f", {item.name}: ..." for item in described if item.default == "required" and "." not in item.name]
    block = f"{{type: {spec.name}{''.join(needed)}}}"
    key = spec.kind.replace("-", "_")
    if spec.kind == "loss":
        return ["system:", "  tasks:", "    TASK:", "      losses:", f"        {spec.name}: 1.0"]
    if spec.kind in ("guidance", "view-source"):
        return ["system:", "  tasks:", "    TASK:", f"      {'views' if spec.kind == 'view-source' else key}: {block}"]
    if spec.kind == "exporter":
        return ["export:", f"  NAME: {block}"]
    return ["system:", f"  {key}: {block}"]


def _item(head: str, text: str) -> list[str]:
    return [
        f"- {head}" + (":" if text else ""),
        *textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="  "),
    ]


def _wrapped(text: str) -> list[str]:
    """Paragraphs at one width, so that a page depends on no one's terminal."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines += ["", *textwrap.wrap(" ".join(paragraph.split()), WIDTH)]
    return lines[1:]


def _sentence(text: str) -> str:
    return text if not text or text.endswith(".") else f"{text}."


def _signature(function: Callable[..., object]) -> str:
    signature = inspect.signature(function)
    return str(signature).replace("'", "")
