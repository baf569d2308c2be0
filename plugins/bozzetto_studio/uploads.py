"""Files that a browser has sent, kept under names that are safe as paths. Imports no torch."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol, runtime_checkable

from bozzetto.errors import UserError
from bozzetto.files import UNFINISHED, slug

Kind = Literal["words", "photo", "mesh"]
"""What a run starts from."""
PHOTOS, MESHES = (".png", ".jpg", ".jpeg", ".webp"), (".glb", ".obj", ".ply")
MOST_MB = 256
"""Largest file that a browser may send, 10^6 bytes."""
_KEPT = re.compile(r"[0-9a-f]{16}/[a-z0-9-]{1,40}\.[a-z]{3,4}")


@runtime_checkable
class Readable(Protocol):
    """File that is being received."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes; none at the end."""


@dataclass(frozen=True)
class Uploads:
    """Folder of the files that browsers have sent; a file that is sent twice is kept once."""

    folder: Path

    def keep(self, name: str, stream: Readable) -> str:
        """Keep a file and return its name below the folder, `DIGEST/NAME.SUFFIX`.

        Raises:
            UserError: it is of a type that no recipe reads, or empty.
        """
        base = PurePosixPath(name.replace("\\", "/")).name
        suffix = PurePosixPath(base).suffix.lower()
        if suffix not in (*PHOTOS, *MESHES):
            known = ", ".join((*PHOTOS, *MESHES))
            raise UserError(f"file: {base[:80]!r} is neither a photo nor a mesh. Give one of: {known}.")
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=UNFINISHED, dir=self.folder)
        digest = hashlib.sha256()
        try:
            with os.fdopen(handle, "wb") as target:
                while block := stream.read(1 << 20):
                    digest.update(block)
                    target.write(block)
            if not Path(temporary).stat().st_size:
                raise UserError(f"file: {base[:80]!r} is empty.")
            kept = f"{digest.hexdigest()[:16]}/{slug(PurePosixPath(base).stem)}{suffix}"
            (self.folder / kept).parent.mkdir(exist_ok=True)
            Path(temporary).replace(self.folder / kept)
        finally:
            Path(temporary).unlink(missing_ok=True)
        return kept

    def path(self, kept: str) -> Path:
        """Return the path of a file that was kept.

        Raises:
            UserError: it is none.
        """
        if not _KEPT.fullmatch(kept) or not (self.folder / kept).is_file():
            raise UserError("file: it is not here any more. Choose it again.")
        return self.folder / kept


def kind_of(name: str) -> Kind:
    """Return what a run starts from, given the name of its file; empty: there is none."""
    return "words" if not name else "photo" if name.lower().endswith(PHOTOS) else "mesh"
