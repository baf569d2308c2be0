"""Tests of names that become file names: letters, digits, hyphens, no duplicates."""

import pytest

from bozzetto.config.file_names import check_names
from bozzetto.errors import ConfigError


@pytest.mark.parametrize("names", [["main"], ["coarse", "refine"], ["1", "2"], ["stage-1", "Stage-2"], ["a" * 40]])
def test_names(names):
    check_names("stages", names)


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/b", "a\\b", "", "-a", "a-", "a--b", "a b", "a_b", "..", "a\0", "é", "a" * 41, "a\n"]
)
def test_what_is_no_name(name):
    with pytest.raises(ConfigError, match=r"^stages: .* cannot be a name: letters, digits and hyphens"):
        check_names("stages", [name])


def test_two_names_of_one_file():
    with pytest.raises(ConfigError, match="'Fine' and 'fine' would name the same files"):
        check_names("export", ["fine", "Fine"])
