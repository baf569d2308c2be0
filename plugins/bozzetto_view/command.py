"""`bozzetto view`: shows a run in the browser."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import secrets
import socket
import warnings
from pathlib import Path

from bozzetto.commands import Host
from bozzetto.errors import UserError

LOCALHOST = "127.0.0.1"
NICENESS = 5
"""By how much less the page's processes matter to the system than the training."""
TOKEN = re.compile(r"[A-Za-z0-9_-]{8,200}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run folder, the address, and the sizes of pictures."""
    parser.add_argument("run", metavar="RUN_FOLDER", help="a run that trains, was stopped, or has finished")
    parser.add_argument("--host", default=LOCALHOST, metavar="ADDRESS", help="listen there; others need a token then")
    parser.add_argument("--port", type=int, default=8080, help="port; the next free one is taken; 0: any")
    parser.add_argument("--token", default="", help="what other machines' browsers have to know; default: a random one")
    parser.add_argument("--coarse", type=int, default=128, metavar="PIXELS", help="height of pictures while moving")
    parser.add_argument("--fine", type=int, default=0, metavar="PIXELS", help="height once still; 0: by the device")
    parser.add_argument("--device", default="auto", help="where the scene is drawn; default: that of the run")


def run(options: argparse.Namespace, host: Host) -> int:
    """Show a run until Ctrl-C."""
    if importlib.util.find_spec("viser") is None:
        raise UserError("The page needs the package viser. Run: pip install 'bozzetto[view]'")
    token = token_of(options.host, options.token)
    for name in ("coarse", "fine"):
        height = getattr(options, name)
        if not 16 <= height <= 2048 and not (name == "fine" and height == 0):
            by_device = ", or 0" if name == "fine" else ""
            raise UserError(f"--{name}: must be from 16 to 2048 pixels{by_device}, got {height}")
    if not 0 <= options.port <= 65535:
        raise UserError(f"--port: must be from 0 to 65535, got {options.port}")
    warnings.filterwarnings("ignore", "Queued a .* on a closed connection")  # a browser that leaves is no fault
    from bozzetto.engine.run_folder import RunFolder

    folder = RunFolder.existing(Path(options.run).expanduser().absolute())
    if hasattr(os, "nice"):
        os.nice(NICENESS)

    import torch

    from bozzetto.machine import accelerators as hardware
    from bozzetto_view.source import Source
    from bozzetto_view.window import Window

    registry = host.registry()
    source = Source(folder, registry, torch.device("cpu"))
    found = hardware.detect()
    wanted = source.recipe.device if options.device == "auto" else options.device
    source.device = torch.device(hardware.torch_device(wanted, source.recipe.profile, found))
    fine = options.fine or (256 if source.device.type == "cpu" else 512)
    window = Window(source, listening_at(options.host, options.port), token, options.coarse, fine)
    try:
        shown = "localhost" if options.host in (LOCALHOST, "::1", "localhost") else options.host
        query = f"/?token={token}" if token else ""
        print(f"view      http://{shown}:{window.gate.port}{query}", flush=True)
        window.run()
    finally:
        window.close()
    return 0


def token_of(host: str, given: str) -> str:
    """Return the token that a browser must know; empty: none, since only this machine can reach the page.

    Raises:
        UserError: it could not be part of an address, or is too short.
    """
    if given and not TOKEN.fullmatch(given):
        raise UserError("--token: must have from 8 to 200 letters, digits, '-' and '_'")
    if given or host in (LOCALHOST, "localhost", "::1"):
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
