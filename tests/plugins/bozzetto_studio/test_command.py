"""Tests of the command: addresses, tokens, and what it says without its packages."""

import importlib.util
import os
import signal
import subprocess
import sys

import pytest

from bozzetto.cli.entry import main
from bozzetto.errors import UserError
from bozzetto_studio.command import listening_at, token_of


def test_this_machine_needs_no_token_and_others_do():
    assert [token_of(host, "") for host in ("127.0.0.1", "localhost", "::1")] == ["", "", ""]
    assert len(token_of("0.0.0.0", "")) >= 24 and token_of("127.0.0.1", "secret-word") == "secret-word"
    for token in ("short", "with space in it", "umläute-umläute"):
        with pytest.raises(UserError, match="--token: must have from 8 to 200 letters"):
            token_of("0.0.0.0", token)


def test_the_next_free_port_is_taken():
    with listening_at("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with listening_at("127.0.0.1", min(port, 65_000)) as second:
            assert port < second.getsockname()[1] <= port + 20 or port > 65_000
    with pytest.raises(UserError, match="--port: 192.0.2.1:0 cannot be listened on"):
        listening_at("192.0.2.1", 0)


@pytest.mark.parametrize("missing", ["flask", "waitress"])
def test_without_its_packages_the_cure_is_told(monkeypatch, capsys, tmp_path, missing):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == missing else find(name, *rest))
    assert main(["studio", str(tmp_path)]) == 2
    assert f"The studio needs the packages {missing}. Run: pip install 'bozzetto[studio]'" in capsys.readouterr().err


def test_mistakes_are_told(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    for words, why in (
        (["--port", "70000"], "--port: must be from 0 to 65535"),
        ([str(tmp_path / "file")], "is no folder"),
    ):
        assert main(["studio", *words]) == 2
        assert why in capsys.readouterr().err


def test_it_serves_without_torch_until_it_is_stopped(tmp_path):
    from urllib.request import urlopen

    code = (
        "import sys, threading, time\nfrom bozzetto.cli import main\n"
        "def look():\n    time.sleep(0.5)\n    print('torch' in sys.modules, flush=True)\n"
        f"threading.Thread(target=look, daemon=True).start()\nsys.exit(main(['studio', {str(tmp_path / 'new')!r}, '--port', '0']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        (address,) = [line.split()[1] for line in lines if line.startswith("studio")]
        assert "False\n" in lines and (tmp_path / "new").is_dir()
        assert b"There is no run in this folder yet" in urlopen(address).read()
    finally:
        os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 143
