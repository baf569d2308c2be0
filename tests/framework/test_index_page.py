"""Tests of the page on a package index, which setup.py makes of README.md."""

import re
import runpy
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).parents[2]
LINE = "![A cat](a/cat.png) [the page](docs/page.md), [docs/b.md](docs/b.md), [a site](https://example.org/x), [below](#then)"


@pytest.fixture
def made(monkeypatch):
    """Return the names that setup.py defines, and what it tells setuptools."""
    told = {}
    monkeypatch.setattr(setuptools, "setup", lambda **values: told.update(values))
    monkeypatch.chdir(ROOT)
    return runpy.run_path(str(ROOT / "setup.py")), told


def test_with_an_address_links_and_pictures_lead_there(made):
    page = made[0]["index_page"](f"# Name\n\n{LINE}\n", "https://example.org/name")
    assert page.startswith("# Name\n\n*") and page.endswith(
        "![A cat](https://example.org/name/raw/HEAD/a/cat.png) [the page](https://example.org/name/blob/HEAD/docs/page.md), "
        "[docs/b.md](https://example.org/name/blob/HEAD/docs/b.md), [a site](https://example.org/x), [below](#then)\n"
    )


def test_without_an_address_a_link_becomes_a_path(made):
    page = made[0]["index_page"](f"# Name\n\n{LINE}\n", "")
    assert page.endswith(" the page (`docs/page.md`), `docs/b.md`, [a site](https://example.org/x), [below](#then)\n")


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ("", ""),
        ("project_urls =\n    Documentation = https://example.org/docs\n", ""),
        (
            "project_urls =\n    Issues = https://example.org/i\n    Source = https://example.org/name/\n",
            "https://example.org/name",
        ),
    ],
)
def test_the_address_is_the_source_among_the_project_urls(made, tmp_path, lines, address):
    (tmp_path / "setup.cfg").write_text(f"[metadata]\nname = name\n{lines}")
    assert made[0]["source_address"](tmp_path / "setup.cfg") == address


def test_the_page_of_this_project_has_no_dead_link_and_keeps_all_else(made):
    page = made[1]["long_description"]
    links = re.findall(r"\]\(([^)]*)\)", page)
    assert [target for target in links if "://" not in target and not target.startswith("#")] == []
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"```.*?```", readme, re.S) == re.findall(r"```.*?```", page, re.S)
