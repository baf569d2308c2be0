"""Tests that every block of docs/first-plugin.md runs, in order, with the shown output."""

from pathlib import Path

import pytest
from tests.framework.packages.conftest import blocks

from bozzetto.authoring.scaffold import write_package

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[3] / "docs" / "first-plugin.md"


def test_it_holds_commands_what_is_to_be_seen_and_files_of_the_package(tmp_path):
    assert {language for language, _ in blocks(PAGE)} == {"bash", "text", "python", "yaml"}
    package = write_package(tmp_path, "sticks", "geometry")
    for language, text in blocks(PAGE):
        if language in ("python", "yaml"):
            assert text.startswith("# ") and (package / text.partition("\n")[0][2:]).is_file()


def test_every_block_does_what_it_says(follow):
    follow(PAGE, "bozzetto-sticks")
