"""List what each of threestudio's recipes becomes and what it loses, in docs/from-threestudio.md.

    python tools/threestudio_recipes.py [FOLDER]

Rewrites the list on the page from the settings in tests/plugins/bozzetto_convert/threestudio_recipes.yaml, which a test
does as well. With FOLDER, threestudio's `configs`, the settings are read anew first, and each recipe must convert from
them as it does from its file. The settings alone are kept: each recipe by its differences from the most similar one.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from bozzetto.errors import ConfigError
from bozzetto.files import write_text
from bozzetto.registry.discovery import Registry, installed_sources
from bozzetto_convert.command import require_loadable
from bozzetto_convert.conversion_table import markdown
from bozzetto_convert.draft import Draft
from bozzetto_convert.recipe_yaml import to_yaml
from bozzetto_convert.rules import Note
from bozzetto_convert.run_parts import EDITS
from bozzetto_convert.threestudio_recipe import read, require_threestudio
from bozzetto_convert.translate import translate

ROOT = Path(__file__).parents[1]
FACTS = ROOT / "tests" / "plugins" / "bozzetto_convert" / "threestudio_recipes.yaml"
PAGE = ROOT / "docs" / "from-threestudio.md"
BEGIN, END = "<!-- made by tools/threestudio_recipes.py -->\n", "<!-- end of the list -->\n"
TABLE = "<!-- made by `bozzetto convert --table` -->\n"
FIRST = "dreamfusion-sd"
HEAD = """\
# Settings of threestudio's recipes at commit 28d9d80 (Apache-2.0), made by tools/threestudio_recipes.py: each by its
# differences from the one that it is `like`; keys of that one which it lacks are `without`. Names, texts and logs are
# left out.
"""
SILENT = (
    "name", "tag", "description", "exp_root_dir", "use_timestamp", "checkpoint", "system/loggers", "trainer/precision",
    "trainer/num_sanity_val_steps", "trainer/enable_progress_bar", "trainer/log_every_n_steps",
)  # fmt: skip
"""Keys, and beginnings of keys, that say nothing about a method: names, folders and logs."""
TEXTS = {"prompt": "a chair", "negative_prompt": "ugly"}
"""What stands for texts that a recipe gives."""
OWN = "weighting: one-minus-alpha-bar"
"""Part of a score that is SDS."""
IN_PARTS = ("type", "weighting", "image_term", "shared")
"""Fields of a score that the list shows."""
STANDS_IN = re.compile(r"'([^']+)' stands in")
FEW = 4
"""Keys of one part that the list names; of more, it gives the number."""


def flat(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Return the leaves of a recipe by their paths, which have slashes since keys hold dots; without `SILENT` ones."""
    leaves: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{where}/{key}" if where else str(key)
        if path in SILENT:
            continue
        if isinstance(value, Mapping) and value:
            leaves |= flat(value, path)
        else:
            leaves[path] = TEXTS[key] if key in TEXTS and value not in ("???", "", None) else value
    return leaves


def nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe with these leaves."""
    tree: dict[str, Any] = {}
    for path, value in leaves.items():
        *parents, name = path.split("/")
        below = tree
        for parent in parents:
            below = below.setdefault(parent, {})
        below[name] = value
    return tree


def compressed(recipes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return each recipe's differences from the most similar one that is listed before it."""
    made: dict[str, dict[str, Any]] = {FIRST: dict(recipes[FIRST])}
    while left := [name for name in recipes if name not in made]:
        near, name = min(
            ((one, other) for one in made for other in left),
            key=lambda pair: (len(_difference(recipes[pair[0]], recipes[pair[1]])), pair[1], pair[0]),
        )
        differs = _difference(recipes[near], recipes[name])
        without = sorted(path for path in differs if path not in recipes[name])
        new = {path: recipes[name][path] for path in differs if path in recipes[name]}
        made[name] = {"like": near, **({"without": without} if without else {}), **new}
    return made


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    here = [path for path, value in other.items() if path not in one or repr(one[path]) != repr(value)]
    return here + [path for path in one if path not in other]


def expanded(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the leaves of each recipe from the differences; the inverse of `compressed`."""
    recipes: dict[str, dict[str, Any]] = {}
    for name, differences in facts.items():
        own = dict(differences)
        base = dict(recipes[own.pop("like")]) if "like" in own else {}
        for path in own.pop("without", []):
            del base[path]
        recipes[name] = base | own
    return recipes


def draft_of(leaves: Mapping[str, Any], folder: Path, registry: Registry) -> Draft:
    """Convert a recipe that is given by its leaves."""
    path = folder / "theirs.yaml"
    path.write_text(yaml.safe_dump(nested(leaves), sort_keys=False), encoding="utf-8")
    return translate(read(path), registry)


def row(name: str, draft: Draft, registry: Registry) -> str:
    """Return the line of the list."""
    try:
        require_loadable(to_yaml(draft), draft, registry)
        checked = "yes"
    except ConfigError as error:
        checked = f"no: {error}"
    lost = "; ".join(_losses(draft)) or "nothing"
    return f"| `{name}` | {'; '.join(_methods(draft))} | {lost} | {checked} |"


def _methods(draft: Draft) -> Iterator[str]:
    """Yield the geometry, and a material of latents, then the guidance and the method of each task that has one."""
    values = {path: line.value for path, line in draft.lines.items()}
    latent = ", `latent`" if values["system.material.type"] == "latent" else ""
    yield f"`{values['system.geometry.type']}`{latent}"
    for task in ("random", "pose"):
        where = f"system.tasks.{task}"
        if f"{where}.guidance.type" not in values:
            continue
        score = f"{where}.score."
        shown = {path.removeprefix(score): value for path, value in values.items() if path.startswith(score)}
        parts = [f"{key}: {value}" for key, value in shown.items() if key.split(".")[-1] in IN_PARTS and key != "type"]
        perp_neg = f", {values[guider]}" if (guider := f"{where}.guidance.guider") in values else ""
        method = f"score `{{{', '.join(parts)}}}`" if {*parts} - {OWN} else f"SDS{perp_neg}"
        yield f"`{values[f'{where}.guidance.type']}`, {method}"


def _losses(draft: Draft) -> Iterator[str]:
    """Yield what is lost: types first, then keys; many keys of one part as a number."""
    keys: dict[str, list[str]] = {}
    for note in draft.of("lost"):
        name, _, kind = note.key.split(" = ")[0].removeprefix("system.").partition(" ")
        if kind == "(none)" or "it is not given" in note.why:
            yield f"no `{name}`{_stand_in(note)}"
        elif kind:
            yield f"`{kind}`{_stand_in(note)}"
        else:
            keys.setdefault(name.rpartition(".")[0], []).append(name)
    for part, names in keys.items():
        yield f"{len(names)} keys of `{part}`" if len(names) > FEW else ", ".join(f"`{name}`" for name in names)


def _stand_in(note: Note) -> str:
    """Return what stands in for a part; of a system, what it does that nothing here does."""
    if found := STANDS_IN.search(note.why):
        return f" (`{found[1]}`)"
    return f": {note.why.partition(',')[0]}" if note.why == EDITS else ""


def rows(facts: Mapping[str, Mapping[str, Any]], registry: Registry) -> list[str]:
    """Return the lines of the list, by name."""
    with tempfile.TemporaryDirectory() as folder:
        leaves = sorted(expanded(facts).items())
        return [row(name, draft_of(values, Path(folder), registry), registry) for name, values in leaves]


def listed(facts: Mapping[str, Mapping[str, Any]], registry: Registry) -> str:
    """Return the list as Markdown."""
    head = ["| recipe | becomes | what is lost | checked with the bundled prior |", "|---|---|---|---|"]
    return "\n".join([*head, *rows(facts, registry)]) + "\n"


def read_all(folder: Path) -> dict[str, Path]:
    """Return the recipes below threestudio's `configs`, by their paths without ending."""
    found = {}
    for path in sorted(folder.rglob("*.yaml")):
        require_threestudio(yaml.safe_load(path.read_text(encoding="utf-8")), path)
        found[str(path.relative_to(folder).with_suffix(""))] = path
    return found


def require_equal(paths: Mapping[str, Path], facts: Mapping[str, Mapping[str, Any]], registry: Registry) -> None:
    """Raise `SystemExit` unless each recipe converts from the settings as from its file."""
    with tempfile.TemporaryDirectory() as folder:
        for name, leaves in expanded(facts).items():
            theirs, ours = translate(read(paths[name]), registry), draft_of(leaves, Path(folder), registry)
            if _told(theirs) != _told(ours):
                raise SystemExit(f"{name}: differs\n{sorted(_told(theirs) ^ _told(ours))}")


def _told(draft: Draft) -> set[str]:
    plain = ("name", "summary", "prompt", "negative_prompt", "output", "trainer.log_every", "trainer.checkpoint_every")
    lines = {f"{path}: {line.value}" for path, line in draft.lines.items() if path not in plain}
    return lines | {str(note) for severity in ("lost", "changed") for note in draft.of(severity)}


def main() -> None:
    """Rewrite the page, and the settings if a folder is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER")
    folder = parser.parse_args().folder
    registry = Registry.discover(installed_sources({}))
    if folder is not None:
        paths = read_all(folder)
        trees = {name: yaml.safe_load(path.read_text(encoding="utf-8")) for name, path in paths.items()}
        facts = compressed({name: flat(tree) for name, tree in trees.items()})
        require_equal(paths, facts, registry)
        write_text(FACTS, HEAD + yaml.safe_dump(facts, sort_keys=False, width=10_000))
    facts = yaml.safe_load(FACTS.read_text(encoding="utf-8"))
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    after = after.partition(TABLE)[0] + TABLE + markdown(registry)
    write_text(PAGE, before + BEGIN + listed(facts, registry) + END + after)
    print(f"{len(facts)} recipes", file=sys.stderr)


if __name__ == "__main__":
    main()
