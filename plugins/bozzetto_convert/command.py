"""`bozzetto convert`: its arguments, and conversion from files to a file. No torch."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bozzetto.commands import Host
from bozzetto.config.binding import REQUIRED
from bozzetto.config.loading import load_recipe
from bozzetto.errors import ConfigError, UserError
from bozzetto.files import write_text
from bozzetto.registry.discovery import Registry
from bozzetto.spec import installed
from bozzetto_convert.conversion_table import markdown
from bozzetto_convert.draft import Draft
from bozzetto_convert.profiles import PROFILES
from bozzetto_convert.recipe_yaml import summary, to_yaml
from bozzetto_convert.score_parts import ADAPTER, ADAPTER_PACKAGE
from bozzetto_convert.stages import as_stages
from bozzetto_convert.threestudio_recipe import read
from bozzetto_convert.translate import translate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `convert`."""
    parser.description = "Convert a threestudio recipe, and report what cannot be converted."
    parser.add_argument(
        "words",
        nargs="*",
        metavar="RECIPE|key=value",
        help="threestudio YAML files, several become stages of one recipe; and overrides of their keys",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write; default: standard output")
    parser.add_argument("--table", action="store_true", help="print the conversion of every key as Markdown, and stop")


def run(options: argparse.Namespace, host: Host) -> int:
    """Convert recipes: YAML to the file or standard output, the report to standard error.

    Raises:
        ConfigError: no threestudio recipe is given.
    """
    registry = host.registry()
    if options.table:
        print(markdown(registry), end="")
        return 0
    files = [Path(word) for word in options.words if "=" not in word]
    overrides = [word for word in options.words if "=" in word]
    if not files:
        raise ConfigError("Which recipe? Write: bozzetto convert threestudio.yaml -o recipe.yaml")
    draft = as_stages([translate(read(file, overrides), registry) for file in files])
    text = to_yaml(draft)
    require_loadable(text, draft, registry)
    if options.output is None:
        print(text, end="")
    else:
        target = Path(options.output)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_text(target, text)
    for line in summary(draft):
        print(line, file=sys.stderr)
    if options.output is not None:
        print(f"wrote     {options.output}   (next: bozzetto check {options.output}{_open(draft)})", file=sys.stderr)
    return 0


def require_loadable(text: str, draft: Draft, registry: Registry) -> None:
    """Raise `ConfigError` unless the recipe loads, with placeholders for the values that the user must give.

    Where the package of adapters is not installed, the rest of such a recipe is checked.
    """
    given = [f"{path}=given later" for path, line in draft.lines.items() if line.value == REQUIRED]
    if not installed(ADAPTER_PACKAGE):
        types = [path for path, line in draft.lines.items() if line.value == ADAPTER]
        given += [f"{path.removesuffix('.type')}=null" for path in types]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            for profile in PROFILES:
                load_recipe(file, registry, given, profile)
        except UserError as error:
            raise ConfigError(f"The converted recipe does not load, which is a bug in Bozzetto: {error}") from error


def _open(draft: Draft) -> str:
    """Return the arguments that the user must add to the next command."""
    names = {"prompt": '"..."', "image": "photo.png"}
    open_ = [name for name in names if name in draft.lines and draft.lines[name].value == REQUIRED]
    return "".join(f" {name}={names[name]}" for name in open_)
