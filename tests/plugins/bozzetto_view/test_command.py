"""Tests of the command: addresses, tokens, and what it says without viser."""

import importlib.util
import subprocess
import sys

import pytest

from bozzetto.cli.entry import main
from bozzetto.errors import UserError
from bozzetto_view.command import listening_at, token_of


def test_this_machine_needs_no_token_and_others_do():
    for host in ("127.0.0.1", "localhost", "::1"):
        assert token_of(host, "") == ""
    made = token_of("0.0.0.0", "")
    assert len(made) >= 24 and made != token_of("0.0.0.0", "")
    assert token_of("0.0.0.0", "secret-word") == token_of("127.0.0.1", "secret-word") == "secret-word"


@pytest.mark.parametrize("token", ["short", "with space in it", "semi;colon", "x" * 201, "umläute-umläute"])
def test_tokens_fit_into_an_address_and_a_cookie(token):
    with pytest.raises(UserError, match="--token: must have from 8 to 200 letters"):
        token_of("0.0.0.0", token)


def test_the_next_free_port_is_taken():
    with listening_at("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with listening_at("127.0.0.1", min(port, 65_000)) as second:
            assert port < second.getsockname()[1] <= port + 20 or port > 65_000
    with pytest.raises(UserError, match="--port: 192.0.2.1:0 cannot be listened on"):
        listening_at("192.0.2.1", 0)


def test_without_viser_the_cure_is_told(monkeypatch, capsys, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "viser" else find(name, *rest))
    assert main(["view", str(tmp_path)]) == 2
    assert "pip install 'bozzetto[view]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--coarse", "3"], "--coarse: must be from 16 to 2048 pixels, got 3"),
        (["--fine", "5"], "--fine: must be from 16 to 2048 pixels, or 0, got 5"),
        (["--port", "70000"], "--port: must be from 0 to 65535"),
        ([], "is not a run folder"),
    ],
)
def test_mistakes_are_told(tmp_path, capsys, monkeypatch, words, why):
    monkeypatch.setattr("bozzetto_view.command.importlib.util.find_spec", lambda name: object())
    assert main(["view", str(tmp_path), *words]) == 2
    assert why in capsys.readouterr().err


def test_a_run_without_a_viewer_imports_none():
    code = (
        "import sys\nimport bozzetto.engine.pipeline\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('viser', 'bozzetto_view', 'websockets')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr
