"""Tests that every block of docs/first-plugin.md runs, in order, with the shown output."""

import fnmatch
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[3] / "docs" / "first-plugin.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks():
    """Return language and text of every block."""
    return BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def expected(text):
    """Convert a `text` block to a pattern in which `...` matches anything."""
    escaped = re.sub(r"([\[\]?*])", r"[\1]", text)
    return "*" + re.sub(r"\s*\.\.\.\s*", "*", escaped.strip()) + "*"


def test_it_holds_commands_files_and_what_is_to_be_seen():
    assert {language for language, _ in blocks()} == {"bash", "text", "python", "yaml"}
    assert all(text.startswith("# ") for language, text in blocks() if language in ("python", "yaml"))


def test_every_block_does_what_it_says(shell):
    folder, variables = shell
    seen = ""
    for language, text in blocks():
        if language == "text":
            assert fnmatch.fnmatchcase(seen, expected(text)), f"{text}\nis not what was seen:\n{seen}"
        elif language == "bash":
            # Each block runs in its own shell; the next block starts in the folder where it ended.
            script = f"set -e\n{text}\npwd >{folder / '.where'}"
            where = folder / ".where"
            place = where.read_text().strip() if where.exists() else folder
            done = subprocess.run(
                ["bash", "-c", script], cwd=place, env=variables, text=True, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            seen = done.stdout
            assert done.returncode == (2 if text.rstrip().endswith("# exits with 2") else 0), f"{text}\n{seen}"
        else:
            target, content = text.split("\n", 1)
            package = folder / "bozzetto-sticks"
            assert (package / target[2:]).is_file(), f"{target[2:]} is not one of the package's files"
            (package / target[2:]).write_text(content)
