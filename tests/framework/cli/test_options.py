"""An invalid command line gives one line with the fix, and exit code 2."""

import pytest

from bozzetto.cli import main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "a.yaml", "--nope"], "There is no option '--nope'. See bozzetto check --help"),
        (["check", "a.yaml", "--profiel=cpu"], "There is no option '--profiel'. Did you mean '--profile'?"),
        (["check", "a.yaml", "-seed=3"], "'-seed'. A field of the recipe is set without a dash: key=value."),
        (["check", "a.yaml", "-x=" + "[" * 100_000], "There is no option '-x'."),
        (["check", "a.yaml", "--" + "x" * 100_000], "There is no option '--xxx"),
        (["check"], "The following arguments are required: RECIPE. See bozzetto check --help"),
        (["check", "a.yaml", "--profile"], "Argument --profile: expected one argument."),
        (["run"], "One of the arguments --config --resume is required."),
        (["--config", "a.yaml", "--resume", "b"], "not allowed with argument --config."),
        (["export"], "The following arguments are required: RUN_FOLDER."),
        (["convert", "--nope"], "There is no option '--nope'."),
        (["bench", "--only", "x" * 100_000], "Argument --only: invalid choice: 'xxx"),
        (["schema", "a\nb"], "'a\\nb' is an unexpected argument."),
        (["doctor", "x" * 100_000], "is an unexpected argument."),
        (["plugins"], "required: ACTION."),
        (["plugins", "lsit"], "invalid choice: 'lsit'"),
        (["plugins", "new", "a"], "required: --kind. See bozzetto plugins new --help"),
        (["plugins", "list", "--jsn"], "There is no option '--jsn'."),
        (["x" * 100_000], "There is no command 'xxx"),
    ],
)
def test_a_wrong_command_line_is_one_line(capsys, words, message):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and message in err and len(err) < 600


def test_overrides_stand_between_options(capsys):
    assert main(["check", "seed=1", "--profile", "cpu", "seed=2"]) == 2
    assert "There is no recipe" in capsys.readouterr().err
