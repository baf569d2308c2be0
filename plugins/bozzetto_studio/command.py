"""`bozzetto studio`: a local page to start runs, watch them, and find earlier ones."""

from __future__ import annotations

import argparse
import importlib.util
import re
import secrets
import socket
import threading
from pathlib import Path

from bozzetto.commands import Host
from bozzetto.errors import UserError

LOCALHOST = ("127.0.0.1", "localhost", "::1")
TOKEN = re.compile(r"[A-Za-z0-9_-]{8,200}")
THREADS = 8
"""Requests that are answered at a time: a few wait for dry runs and viewers."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the outputs folder and the address."""
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("outputs"), metavar="FOLDER",
        help="folder of all runs, made if it is not there; default: outputs, as for run",
    )  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="listen there; others need a token then")
    parser.add_argument("--port", type=int, default=8090, help="port; the next free one is taken; 0: any")
    parser.add_argument("--token", default="", help="what other machines' browsers have to know; default: a random one")


def run(options: argparse.Namespace, host: Host) -> int:
    """Serve the pages until Ctrl-C; runs go on."""
    missing = [name for name in ("flask", "waitress") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"The studio needs the packages {', '.join(missing)}. Run: pip install 'bozzetto[studio]'")
    token = token_of(options.host, options.token)
    if not 0 <= options.port <= 65535:
        raise UserError(f"--port: must be from 0 to 65535, got {options.port}")
    outputs = options.folder.expanduser().absolute()
    if outputs.exists() and not outputs.is_dir():
        raise UserError(f"{outputs} is no folder. Give the folder of all runs: bozzetto studio outputs")
    outputs.mkdir(parents=True, exist_ok=True)

    import waitress

    from bozzetto_studio.app import make_app
    from bozzetto_studio.guard import Guard
    from bozzetto_studio.offers import offers
    from bozzetto_studio.studio import Studio
    from bozzetto_studio.viewers import Viewers

    listening = listening_at(options.host, options.port)
    port = listening.getsockname()[1]
    viewers = Viewers(options.host, token)
    studio = Studio(outputs, offers(host.registry()), Guard(token), viewers)
    shown = "localhost" if options.host in LOCALHOST else options.host
    shown = f"[{shown}]" if ":" in shown else shown
    print(f"studio    http://{shown}:{port}/{f'?token={token}' if token else ''}", flush=True)
    print(f"runs      {outputs}", flush=True)
    try:
        server = waitress.create_server(make_app(studio), sockets=[listening], threads=THREADS, ident=None)
        serving = threading.Thread(target=server.run, name="studio", daemon=True)  # its loop would contain signals
        serving.start()
        serving.join()
    finally:
        viewers.close()
        listening.close()
    return 0


def token_of(host: str, given: str) -> str:
    """Return the token that a browser must know; empty: none, since only this machine can reach the page.

    Raises:
        UserError: it could not be part of an address, or is too short.
    """
    if given and not TOKEN.fullmatch(given):
        raise UserError("--token: must have from 8 to 200 letters, digits, '-' and '_'")
    if given or host in LOCALHOST:
        return given
    return secrets.token_urlsafe(18)


def listening_at(host: str, port: int) -> socket.socket:
    """Return a socket that listens on the first free port from `port` on, of 20; 0: on any.

    Raises:
        UserError: none can be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last = port + (20 if port else 0)
    for one in range(port, last + 1):
        try:
            return socket.create_server((host, one), family=family)
        except (OSError, OverflowError) as error:
            if one == last:
                raise UserError(f"--port: {host}:{port} cannot be listened on: {error}") from error
    raise AssertionError("the loop returns or raises")
