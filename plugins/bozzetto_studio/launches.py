"""Runs that have been started and have no run folder yet: they check the recipe and fetch weights. Imports no torch.

Each has a folder below `.studio` in the outputs folder. Once the run has said where its own folder is, its log and
its process are kept there, and only the way to it stays here.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bozzetto.files import write_text
from bozzetto_studio.history import LOG, last_error, tail
from bozzetto_studio.marks import Marks
from bozzetto_studio.processes import start

ABOUT = "launch.json"
_RUN = re.compile(r"^run       (?P<path>.+)$", re.MULTILINE)
HEAD_BYTES = 200_000
"""Bytes of a log within which a run says where its folder is."""
_IDENTITY = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Launch:
    """Run that has been started."""

    identity: str
    subject: str
    recipe: str
    begun_s: float
    """Seconds since the epoch."""
    run: str = ""
    """`RECIPE/RUN` once the run has a folder; empty until then."""
    alive: bool = False
    log: str = ""
    """End of what it has printed."""

    @property
    def error(self) -> str:
        """Why it has ended without a run folder; empty: it has not."""
        if self.alive or self.run:
            return ""
        return last_error(self.log) or self.log.strip() or "It ended without a word: it was killed."


@dataclass(frozen=True)
class Launches:
    """Launches of an outputs folder."""

    outputs: Path

    @property
    def folder(self) -> Path:
        """Folder of all launches."""
        return self.outputs / ".studio" / "launches"

    def begin(self, words: Sequence[str], subject: str, recipe: str) -> str:
        """Start a run and return the identity of its launch."""
        identity = secrets.token_hex(6)
        place = self.folder / identity
        place.mkdir(parents=True)
        about = {"subject": subject, "recipe": recipe, "begun_s": time.time(), "run": ""}
        about["working_folder"] = str(Path.cwd())  # what the run says of its folder is relative to it
        write_text(place / ABOUT, json.dumps(about) + "\n")
        Marks(start(words, place / LOG)).write(place)
        return identity

    def find(self, identity: str) -> Launch | None:
        """Return a launch; None: there is none."""
        if not _IDENTITY.fullmatch(identity):
            return None
        place = self.folder / identity
        try:
            about = json.loads((place / ABOUT).read_text(encoding="utf-8"))
            run = about["run"] or self._moved(place, about)
            marks = Marks.read(place)
            alive = marks.process.alive if marks.process else time.time() - about["begun_s"] < 5.0
            return Launch(identity, about["subject"], about["recipe"], about["begun_s"], run, alive, tail(place / LOG))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def waiting(self) -> list[Launch]:
        """Return those without a run folder, the latest first; what remains of others is removed with their run."""
        identities = [path.name for path in self.folder.glob("*") if path.is_dir()]
        found = [launch for identity in identities if (launch := self.find(identity)) is not None]
        for launch in found:
            if launch.run and not (self.outputs / launch.run).is_dir():
                self.forget(launch)
        return sorted((launch for launch in found if not launch.run), key=lambda launch: -launch.begun_s)

    def stop(self, launch: Launch) -> None:
        """Ask a launch to stop."""
        if (process := Marks.read(self.folder / launch.identity).process) is not None:
            process.stop()

    def forget(self, launch: Launch) -> None:
        """Remove a launch that has ended."""
        shutil.rmtree(self.folder / launch.identity, ignore_errors=True)

    def _moved(self, place: Path, about: dict[str, object]) -> str:
        """Move the log and the process to the run folder, if the run has said where it is; return its name."""
        try:
            with (place / LOG).open("rb") as stream:
                said = _RUN.search(stream.read(HEAD_BYTES).decode("utf-8", "replace"))
        except FileNotFoundError:  # another request, or another studio, has just moved it
            return str(json.loads((place / ABOUT).read_text(encoding="utf-8"))["run"])
        if said is None:
            return ""
        path = Path(str(about["working_folder"]), said["path"])
        if path.parent.parent.resolve() != self.outputs.resolve() or not path.is_dir():
            return ""
        run = f"{path.parent.name}/{path.name}"
        with suppress(FileNotFoundError):  # another studio, or another request, was faster
            Marks.read(place).write(path)
            write_text(place / ABOUT, json.dumps({**about, "run": run}) + "\n")
            (place / LOG).replace(path / LOG)  # the process goes on writing to it
        return run
