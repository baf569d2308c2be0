"""The viewer of objects: three.js as trimesh brings it, and the few lines of ours that turn the object.

Nothing is copied into this repository: when a page is written, the library is taken from the installed trimesh, whose
own viewer for notebooks holds it, and both licences go with it.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, files

from bozzetto.errors import UserError
from bozzetto_report.texts import template_text

SCRIPT, END = "<script>", "</script>"
LAST_PART = "THREE.GLTFLoader=GLTFLoader;})();"
"""Last statement of the library; what follows is trimesh's own viewer."""
LICENCE_NOTE = "SPDX-License-Identifier: MIT"
KNOWN = "5.2"
"""Version of trimesh whose viewer is known."""
THREE_LICENCE = "three.js-LICENCE.txt"


@dataclass(frozen=True)
class Library:
    """three.js with its loader of glTF."""

    code: str
    licences: str
    """Texts of the licences of what the page contains."""


class ViewerError(UserError):
    """The installed trimesh brings no viewer of the known form."""


@cache
def library() -> Library:
    """Return three.js and its loader of glTF, out of the installed trimesh.

    Raises:
        ViewerError: trimesh brings another viewer.
    """
    import trimesh
    from trimesh.viewer.notebook import scene_to_html

    triangle = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False)
    page = scene_to_html(trimesh.Scene(triangle)).replace("\r\n", "\n")
    start, end = page.find(SCRIPT), page.find(LAST_PART)
    code = page[start + len(SCRIPT) : end + len(LAST_PART)]
    if start < 0 or end < start or LICENCE_NOTE not in code[:400] or END in code:
        raise ViewerError(
            f"the object cannot be turned here: the installed trimesh {trimesh.__version__} brings another viewer than "
            f"the one that reports use, that of trimesh {KNOWN}. It lies in the run's folder, export/mesh.glb"
        )
    return Library(code, f"three.js\n\n{template_text(THREE_LICENCE)}\n\ntrimesh\n\n{_licence_of('trimesh')}")


def _licence_of(distribution: str) -> str:
    """Return the licence text of an installed distribution; its name if the text is not installed."""
    try:
        found = [path for path in files(distribution) or () if path.name.upper().startswith(("LICENSE", "LICENCE"))]
        return "\n\n".join(path.read_text(encoding="utf-8") for path in found) or distribution
    except (PackageNotFoundError, OSError):
        return distribution


def hash_of(script: str) -> str:
    """Return the source expression of a script for a content security policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
