"""Metrics of a stage: rows of a CSV file, and loggers."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bozzetto.engine.loggers import Logger
from bozzetto.engine.system import System
from bozzetto.files import write_atomically
from bozzetto.recipe import TrainerConfig


class Metrics:
    """Writes the metrics of every `log_every`-th step and of the last; the CSV file continues after a resume.

    Args:
        file: CSV file.
        logger: receives the same numbers; it is closed with this.
        done: finished steps; rows of later ones are removed, since a killed run may have logged beyond its checkpoint.
    """

    def __init__(self, file: Path, config: TrainerConfig, logger: Logger, done: int) -> None:
        self.file, self.config, self.logger = file, config, logger
        drop_rows_after(file, done)

    def after_step(self, done: int, system: System) -> None:
        """Write a row if it is time."""
        if done % self.config.log_every == 0 or done == self.config.steps:
            append_row(self.file, {"step": done, **system.metrics})
            self.logger.scalars(system.metrics, done)

    def close(self) -> None:
        """Close the logger."""
        self.logger.close()


def append_row(path: Path, row: Mapping[str, float | int]) -> None:
    """Append a row to a CSV file; a new column rewrites the file."""
    rows: list[dict[str, Any]] = []
    columns = list(row)
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            old = list(reader.fieldnames or [])
            if set(row) <= set(old):
                columns = old
            else:
                rows, columns = list(reader), old + [name for name in row if name not in old]
    fresh = bool(rows) or not path.is_file()
    if fresh:

        def write(temporary: Path) -> None:
            with temporary.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, columns, restval="")
                writer.writeheader()
                writer.writerows([*rows, dict(row)])

        write_atomically(path, write)
        return
    with path.open("a", newline="", encoding="utf-8") as stream:
        csv.DictWriter(stream, columns, restval="").writerow(row)


_COUNT = re.compile("[0-9]{1,18}")


def drop_rows_after(path: Path, step: int) -> None:
    """Remove rows of steps that will be repeated, since a killed run may have logged beyond its checkpoint.

    Damaged rows are removed too, as is a file without steps.
    """
    if not path.is_file():
        return
    with path.open(newline="", encoding="utf-8", errors="replace") as stream:
        header, *rows = list(csv.reader(stream)) or [[]]
    column = header.index("step") if "step" in header else len(header)
    whole = [row for row in rows if len(row) == len(header) > column and _COUNT.fullmatch(row[column])]
    kept = [row for row in whole if int(row[column]) <= step]
    if kept == rows and column < len(header):
        return

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([header, *kept])

    if kept:
        write_atomically(path, write)
    else:
        path.unlink()
