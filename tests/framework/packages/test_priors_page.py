"""Tests that every block of docs/priors.md runs, in order, with the shown output."""

from pathlib import Path

import pytest
from tests.framework.packages.conftest import blocks

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[3] / "docs" / "priors.md"


def test_it_holds_commands_and_what_is_to_be_seen():
    assert {language for language, _ in blocks(PAGE)} == {"bash", "text", "python"}


def test_every_block_does_what_it_says(follow):
    follow(PAGE, "")
