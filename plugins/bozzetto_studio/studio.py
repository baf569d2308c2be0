"""What the pages do: start, stop, resume, export and delete runs, by commands of their own. Imports no torch."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bozzetto.engine.run_lock import locked
from bozzetto.errors import RunFolderError, UserError
from bozzetto_studio.guard import Guard
from bozzetto_studio.history import LOG, FoundRun, last_error, run_at
from bozzetto_studio.launches import Launches
from bozzetto_studio.marks import Marks
from bozzetto_studio.offers import Offer
from bozzetto_studio.processes import answer, start
from bozzetto_studio.uploads import Uploads
from bozzetto_studio.viewers import Viewers
from bozzetto_studio.wish import Wish


@dataclass(frozen=True)
class Studio:
    """Runs of an outputs folder, and what can be done with them."""

    outputs: Path
    offers: tuple[Offer, ...]
    guard: Guard
    viewers: Viewers
    uploads: Uploads = field(init=False)
    launches: Launches = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "uploads", Uploads(self.outputs / ".studio" / "uploads"))
        object.__setattr__(self, "launches", Launches(self.outputs))

    def plan(self, wish: Wish) -> str:
        """Return what a dry run says.

        Raises:
            UserError: what is wrong, as the command line says it.
        """
        return _answered([*wish.words(self.offers, self.uploads, self.outputs), "--dry-run"])

    def start(self, wish: Wish) -> str:
        """Start a run, after a dry run, and return the identity of its launch. Raises as `plan`."""
        self.plan(wish)
        words = wish.words(self.offers, self.uploads, self.outputs)
        subject = wish.prompt or Path(wish.file).stem
        return self.launches.begin(words, subject, wish.recipe)

    def run(self, recipe: str, name: str) -> FoundRun | None:
        """Return a run; None: there is none. Launches that have found their folder are seen to first."""
        self.launches.waiting()
        return run_at(self.outputs, recipe, name)

    def stop(self, run: FoundRun) -> None:
        """Ask the process of a run to stop after its step, and save.

        Raises:
            UserError: no process of this machine works in its folder.
        """
        if run.standing.process is None:
            raise UserError(f"{run.name}: no process of this machine works on it {run.standing.reason}".rstrip() + ".")
        marks = Marks.read(run.path)
        if marks.asked_to_stop == run.standing.process:
            raise UserError(f"{run.name} is stopping already: it finishes its step and saves.")
        Marks(marks.process, run.standing.process).write(run.path)
        run.standing.process.stop()

    def stop_at_once(self, run: FoundRun) -> None:
        """Ask a process that is stopping a second time: it stops at once, and its step is lost."""
        if run.standing.process is not None and run.standing.state == "stopping":
            run.standing.process.stop()

    def resume(self, run: FoundRun, overrides: Sequence[str]) -> None:
        """Continue a run, after a dry run.

        Raises:
            UserError: it cannot; as the command line says it.
        """
        words = ["run", "--resume", str(run.path), *overrides]
        _answered([*words, "--dry-run"])
        self._go(run, words)

    def export(self, run: FoundRun, formats: Sequence[str], overrides: Sequence[str]) -> None:
        """Export a run again.

        Args:
            formats: of the mesh alone; empty: all that the recipe exports.

        Raises:
            UserError: another process works in its folder.
        """
        chosen = [f"--format={','.join(formats)}"] if formats else []
        self._go(run, ["export", str(run.path), *chosen, *overrides])

    def report(self, run: FoundRun) -> None:
        """Write the report of a run anew. Raises `UserError` as the command line says it."""
        _answered(["report", str(run.path)])

    def delete(self, run: FoundRun) -> None:
        """Remove the folder of a run.

        Raises:
            RunFolderError: a process works in it.
        """
        if run.standing.busy:
            raise RunFolderError(f"{run.name} is in use. Stop it first.")
        self.viewers.close_one(run.path)
        trash = self.outputs / ".studio" / f"deleted-{secrets.token_hex(6)}"
        trash.parent.mkdir(exist_ok=True)
        with locked(run.path, lambda line: None):
            run.path.rename(trash)  # at once, so that nobody sees half of it
        shutil.rmtree(trash, ignore_errors=True)
        self.launches.waiting()

    def _go(self, run: FoundRun, words: Sequence[str]) -> None:
        """Start a command that works in the folder of a run."""
        if run.standing.busy:
            raise UserError(f"{run.name} is in use. Wait until that is done, or stop it.")
        Marks(start(words, run.path / LOG)).write(run.path)


def _answered(words: Sequence[str]) -> str:
    """Return what a command prints; raises `UserError` with its error."""
    done = answer(words)
    if done.code:
        raise UserError(last_error(done.text) or done.text)
    return done.text
