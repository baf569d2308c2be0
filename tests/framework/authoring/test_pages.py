"""Tests that the reference pages are up to date."""

import inspect
from pathlib import Path

import pytest

from bozzetto import hookspecs
from bozzetto.authoring.pages import MARK, component_page, pages, write_pages
from bozzetto.cli.plugins import show_component
from bozzetto.config.binding import describe
from bozzetto.registry.discovery import Registry, installed_sources
from bozzetto.spec import load

FOLDER = Path(__file__).parents[3] / "docs" / "reference"


@pytest.fixture(scope="module")
def registry():
    built_in = [source for source in installed_sources({}) if source.dist == "bozzetto"]
    return Registry.discover(built_in, strict=True)


def test_the_committed_pages_are_not_stale(registry):
    wanted = pages(registry, "bozzetto")
    found = {
        path.relative_to(FOLDER).as_posix(): text
        for path in FOLDER.rglob("*.md")
        if (text := path.read_text(encoding="utf-8")).startswith(MARK)
    }
    stale = sorted(path for path in {*wanted, *found} if wanted.get(path) != found.get(path))
    assert not stale, f"run 'bozzetto plugins docs docs/reference --distribution bozzetto': {', '.join(stale)}"


def test_show_prints_the_page(registry):
    shown = show_component(registry, "geometry/hash-grid")
    assert shown.endswith(component_page(registry.find("geometry", "hash-grid")))
    for text in (
        "# geometry/hash-grid",
        "- `levels: int in [1, 32] = 16`:\n  Number of resolutions",
        "geometry: {type: hash-grid}",
    ):
        assert text in shown


def test_every_hook_has_its_page(registry):
    hooks = [name for name, value in vars(hookspecs).items() if hasattr(value, "bozzetto_spec")]
    assert len(hooks) >= 6
    page = (FOLDER / "hooks.md").read_text(encoding="utf-8")
    assert [name for name in hooks if f"## `{name}`\n" not in page] == []
    assert all(inspect.getdoc(getattr(hookspecs, name)) for name in hooks)


def test_every_component_has_its_page_with_every_field(registry):
    for (kind, name), (entry,) in registry.entries.items():
        page = (FOLDER / kind / f"{name}.md").read_text(encoding="utf-8")
        assert f"# {kind}/{name}\n" in page
        for item in describe(load(entry.spec.config)):
            assert f"- `{item.name}: " in page, f"{kind}/{name}: {item.name}"
            assert item.text, f"{kind}/{name}: {item.name} has no docstring"


def test_every_key_is_on_its_page_and_every_page_in_the_index(registry):
    made = pages(registry)
    assert "`extends`" in made["recipe.md"] and "`checkpoint_every: int in [1, 1000000000] = 250`" in made["recipe.md"]
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in FOLDER.rglob("*.md"):
        assert path.name == "README.md" or f"({path.relative_to(FOLDER).as_posix()})" in index, path


def test_writing_touches_what_differs_and_removes_what_is_gone(registry, tmp_path):
    kept = tmp_path / "testing.md"
    kept.write_text("by hand")
    gone = tmp_path / "geometry" / "gone.md"
    gone.parent.mkdir()
    gone.write_text(f"{MARK}\n\nno more")
    first = write_pages(tmp_path, registry, "bozzetto")
    assert gone in first and not gone.exists() and kept.read_text() == "by hand"
    (tmp_path / "hooks.md").write_text(f"{MARK}\n\nold")
    assert write_pages(tmp_path, registry, "bozzetto") == [tmp_path / "hooks.md"]


def test_another_distributions_reference_has_no_hooks(registry):
    assert set(pages(registry, "somebody-else")) == {"README.md"}
