"""The reference pages are what the code says now."""

from pathlib import Path

import pytest

from bozzetto.cli.plugins import show_component
from bozzetto.reference import MARK, component_page, pages, write_pages
from bozzetto.registry import Registry, installed_sources

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


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
        "- `levels: int = 16`:\n  Number of resolutions",
        "geometry: {type: hash-grid}",
    ):
        assert text in shown


def test_every_hook_and_every_key_is_on_its_page(registry):
    made = pages(registry)
    for name in ("components", "recipes", "run_started", "step_finished", "stage_finished", "run_failed"):
        assert f"## `bozzetto_{name}`" in made["hooks.md"]
    assert "`extends`" in made["recipe.md"] and "`checkpoint_every: int = 250`" in made["recipe.md"]
    assert "(geometry/hash-grid.md)" in made["README.md"]


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
