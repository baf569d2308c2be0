"""Tests of YAML limits: each text that could crash, stall or mislead the parser gives one line."""

import pytest

from bozzetto.cli import main
from bozzetto.config.yaml_text import LARGEST_FILE, parse, read_text
from bozzetto.errors import ConfigError

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]" for i in range(8)
)
BAD = {
    "[" * 100_000: "x:1: more than 50 nested mappings and lists",
    "a: " + "{b: " * 60 + "1" + "}" * 60: "x:1: more than 50 nested mappings and lists",
    "a: 1\nb: " + "9" * 5000: "x:2: cannot be read as YAML: a number of 5000 digits",
    BOMB: "x:5: more than 100000 values",
    "a: &a [*a]": "x:1: the alias *a has no anchor, or is within it",
    "a: 1\nb: 2\na: 3": "x:3: the key 'a' is in line 1 already",
    "a:\n\tb: 1": "x:2: cannot be read as YAML",
    "a: b\0c": "x: cannot be read as YAML",
    "? [a, b]\n: 1": "x:1: a key must be text",
    "a: !!binary aGk=": "x:1: the tag '!!binary' is not for recipes",
    "a: !!python/object/apply:os.getcwd []": "x:1: the tag",
    "a: 1\n---\nb: 2": "x:2: a second document",
    "a: " + "b" * (LARGEST_FILE + 1): "x: more than 1 MB",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:12])
def test_out_of_bounds_is_one_line(text):
    with pytest.raises(ConfigError) as error:
        parse(text, "x")
    assert str(error.value).startswith(BAD[text]) and "\n" not in str(error.value)


def test_plain_values():
    text = (
        "1: a\nyes: 1e-3\nd: 2024-01-01\nf: [1., .5, -2.5e+3, .inf, 3]\nn: ~\nm: &m {k: 1}\no: {<<: *m, l: 2}\nt: '7'"
    )
    assert parse(text, "x") == {
        "1": "a", "yes": 0.001, "d": "2024-01-01", "f": [1.0, 0.5, -2500.0, float("inf"), 3], "n": None,
        "m": {"k": 1}, "o": {"k": 1, "l": 2}, "t": "7",
    }  # fmt: skip


def test_a_stage_called_1_has_the_name_1(tmp_path, capsys):
    path = tmp_path / "recipe.yaml"
    path.write_text("extends: dreamfusion-sd\nprompt: a chair\nstages: {1: {}}\n")
    assert main(["check", str(path)]) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"prompt: caf\xe9\n", ":1: not UTF-8 text (byte 0xe9). Save it as UTF-8."),
        (bytes(range(256)) * 4, "not UTF-8 text"),
        (b"a" * (LARGEST_FILE + 1), "is larger than 1 MB"),
    ],
)
def test_files_that_are_no_text(tmp_path, content, message):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        read_text(path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "override",
    [
        "a" + ".b" * 100_000 + "=1",
        "a=" + "[" * 100_000,
        "seed=" + "9" * 5000,
        "trainer.steps=1\nseed: 4",
        "name={a: 1, a: 2}",
    ],
)
def test_overrides_are_bounded_too(override, capsys):
    assert main(["check", "dreamfusion-sd", "prompt=a chair", override]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and len(error) < 600
