"""Tests of the tables: numbers that were not measured are empty, errors and failures are told."""

from gpu_check.tables import failures, table

NOTHING = {
    "machine": {"torch": "2"},
    "skipped": [],
    "recipes": [],
    "priors": [],
    "scores": [],
    "memory": [],
    "full": [],
    "scenes": [],
    "kernels": [],
}


def test_a_number_that_was_not_measured_is_an_empty_cell():
    row = {"prior": "P", "recipe": "r", "s_per_step": 0.25, "peak_bytes": None, "network_bytes": 2**30, "at_step": 0}
    lines = table({**NOTHING, "priors": [{**row, "finite": False}]}).splitlines()
    assert lines[2] == "| prior | recipe | s/step | peak GiB | networks GiB | at step | finite |"
    assert lines[4] == "| P | r | 0.2500 |  | 1.00 | 0 | no |"


def test_an_error_takes_the_place_of_the_numbers_and_fails_the_check():
    result = {**NOTHING, "scores": [{"score": "ism", "recipe": "r", "error": "E: a|b"}], "skipped": ["sdi"]}
    text = table(result)
    assert "| ism | r | E: a/b |  |  |  |  |" in text
    assert text.endswith("failed: r: E: a|b\nskipped: sdi\n") and failures(result) == ["r: E: a|b"]


def test_missing_packages_are_no_failure():
    assert not failures({**NOTHING, "tests": {"code": 5, "last_line": "2 skipped"}})
    assert failures({**NOTHING, "tests": {"code": 1, "last_line": "1 failed"}}) == ["tests: 1 failed"]
