"""Pages of the runs of an outputs folder: all of them, one of them, its files, and what can be done with it."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from flask import Flask, Response, abort, make_response, redirect, render_template, request, send_file, url_for
from werkzeug.wrappers import Response as AnyResponse

from bozzetto.errors import UserError
from bozzetto_studio.guard import name_of
from bozzetto_studio.history import FoundRun, log_of, pictures_of, runs_of
from bozzetto_studio.pictures import first_row
from bozzetto_studio.studio import Studio
from bozzetto_studio.wish import overrides

SHOWN_PICTURES = 12
"""Most pictures over time."""
FORMATS = ("glb", "obj", "ply", "stl")
OWN_POLICY = "sandbox allow-scripts"
"""Policy for the report: it may run its scripts, and has no access to this page."""


def run_pages(app: Flask, studio: Studio) -> None:
    """Add the pages."""

    @app.get("/")
    def runs() -> AnyResponse:
        """Show all runs."""
        waiting = studio.launches.waiting()
        return make_response(render_template("runs.html", runs=runs_of(studio.outputs), waiting=waiting))

    @app.get("/runs/<recipe>/<name>/")
    def run(recipe: str, name: str) -> AnyResponse:
        """Show a run."""
        return _page(_found(studio, recipe, name), 200)

    @app.get("/runs/<recipe>/<name>/small/<file>")
    def small(recipe: str, name: str, file: str) -> AnyResponse:
        """Send the first row of a picture."""
        path = _file(_found(studio, recipe, name), "export" if file == "contact_sheet.png" else "images", file)
        content = first_row(path, path.stat().st_mtime_ns, 2)
        return send_file(io.BytesIO(content), "image/jpeg", max_age=86400 if "v" in request.args else 0)

    @app.get("/runs/<recipe>/<name>/<any(images, export):folder>/<file>")
    def file(recipe: str, name: str, folder: str, file: str) -> AnyResponse:
        """Send a picture, or an exported file."""
        path = _file(_found(studio, recipe, name), folder, file)
        return send_file(path, as_attachment=path.suffix not in (".png", ".mp4"), conditional=True)

    @app.get("/runs/<recipe>/<name>/export.zip")
    def exported(recipe: str, name: str) -> AnyResponse:
        """Send all exported files as one archive."""
        found = _found(studio, recipe, name)
        exports = _exports(found.path)
        if not exports:
            raise UserError(f"{found.name} has exported nothing yet.")
        stream = tempfile.TemporaryFile()  # noqa: SIM115 - closed once it is sent
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in exports:
                archive.write(path, f"{found.path.name}/{path.name}")
        stream.seek(0)
        return send_file(stream, "application/zip", as_attachment=True, download_name=f"{found.path.name}.zip")

    @app.get("/runs/<recipe>/<name>/report")
    def report(recipe: str, name: str) -> AnyResponse:
        """Show the report of a run."""
        found = _found(studio, recipe, name)
        path = found.path / "report.html"
        if found.standing.busy or not path.is_file():
            studio.report(found)
        answer = send_file(path, "text/html")
        answer.headers["Content-Security-Policy"] = OWN_POLICY
        return answer

    _add_actions(app, studio)


def _add_actions(app: Flask, studio: Studio) -> None:
    """Add what the buttons of a run's page do."""

    @app.post("/runs/<recipe>/<name>/<any(stop, stop_at_once, resume, export, delete):what>")
    def act(recipe: str, name: str, what: str) -> AnyResponse:
        """Do what a button says, and show the run again; or why it could not be done."""
        found = _found(studio, recipe, name)
        try:
            if what == "stop":
                studio.stop(found)
            elif what == "stop_at_once":
                studio.stop_at_once(found)
            elif what == "resume":
                studio.resume(found, overrides(request.form.get("lines", "")))
            elif what == "export":
                formats = [one for one in request.form.getlist("formats") if one in FORMATS]
                studio.export(found, formats, overrides(request.form.get("lines", "")))
            else:
                if request.form.get("sure") != "yes":
                    raise UserError(f"Say that you are sure: {found.name} cannot be brought back.")
                studio.delete(found)
                return redirect(url_for("runs"), 303)
        except UserError as error:
            return _page(_found(studio, recipe, name), 422, str(error))
        return redirect(url_for("run", recipe=recipe, name=name), 303)

    @app.post("/runs/<recipe>/<name>/view")
    def view(recipe: str, name: str) -> AnyResponse:
        """Open the viewer of a run."""
        found = _found(studio, recipe, name)
        host = name_of(request.headers.get("Host", "")) or "localhost"
        return redirect(studio.viewers.address(found.path, f"[{host}]" if ":" in host else host), 303)


def _found(studio: Studio, recipe: str, name: str) -> FoundRun:
    """Return a run, or answer with a page that says that it is gone."""
    found = studio.run(recipe, name)
    if found is None:
        abort(make_response(render_template("gone.html", name=f"{recipe}/{name}"), 404))
    return found


def _file(found: FoundRun, folder: str, name: str) -> Path:
    """Return a file directly in a folder of a run; there are no others."""
    path = found.path / folder / name
    if name.startswith(".") or any(letter in name for letter in "/\\\0") or path.is_symlink() or not path.is_file():
        abort(404)
    return path


def _exports(path: Path) -> list[Path]:
    files = [file for file in path.glob("export/*") if file.is_file() and not file.is_symlink()]
    shown = [file for file in files if not file.name.startswith(".")]
    return sorted(shown, key=lambda file: (file.suffix != ".glb", file.name))


def _page(found: FoundRun, status: int, error: str = "") -> Response:
    """Return the page of a run."""
    pictures = pictures_of(found.path)
    step = max(1, -(-len(pictures) // SHOWN_PICTURES))
    shown = pictures[::-1][::step][::-1]
    return make_response(
        render_template(
            "run.html", run=found, error=error, pictures=[(stage, at, file.name) for stage, at, file in shown],
            photo=(found.path / "images" / "photo.png").is_file(),
            exports=[(file.name, file.stat().st_size / 1e6) for file in _exports(found.path)],
            video=(found.path / "export" / "turntable.mp4").is_file(), log=log_of(found.path), formats=FORMATS,
        ),
        status,
    )  # fmt: skip
