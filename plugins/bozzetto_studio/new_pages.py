"""Pages of a new run: the form, its plan, and the run until it has a folder. Imports Flask, and no torch."""

from __future__ import annotations

import shlex

from flask import Flask, abort, make_response, redirect, render_template, request, send_file, url_for
from werkzeug.wrappers import Response

from bozzetto.errors import UserError
from bozzetto_studio.studio import Studio
from bozzetto_studio.uploads import MESHES, PHOTOS, kind_of
from bozzetto_studio.wish import Wish

DEFAULTS = {"words": "dreamfusion-sd", "photo": "zero123", "mesh": "texture-mesh"}
"""Recipe that is chosen at first, by what a run starts from."""


def new_pages(app: Flask, studio: Studio) -> None:
    """Add the pages."""

    @app.get("/new")
    def new() -> Response:
        """Show the empty form."""
        return _form(studio, Wish(recipe=DEFAULTS["words"]), 200)

    @app.post("/plan")
    def plan() -> Response:
        """Show the form with what a dry run says."""
        wish = Wish.of(request.form, "")
        try:
            wish = _received(studio)
            text = studio.plan(wish)
            command = shlex.join(["bozzetto", *wish.words(studio.offers, studio.uploads, studio.outputs)])
        except UserError as error:
            return _form(studio, wish, 422, error=str(error))
        return _form(studio, wish, 200, plan=text, command=command)

    @app.post("/start")
    def start() -> Response:
        """Start a run."""
        wish = Wish.of(request.form, "")
        try:
            wish = _received(studio)
            identity = studio.start(wish)
        except UserError as error:
            return _form(studio, wish, 422, error=str(error))
        return redirect(url_for("launch", identity=identity), 303)

    @app.get("/uploads/<digest>/<name>")
    def upload(digest: str, name: str) -> Response:
        """Send a photo back, to show it beside the plan."""
        path = studio.uploads.path(f"{digest}/{name}")
        return send_file(path.absolute(), max_age=3600) if kind_of(name) == "photo" else abort(404)

    _add_launches(app, studio)


def _add_launches(app: Flask, studio: Studio) -> None:
    """Add the pages of runs that have no folder yet."""

    @app.get("/launches/<identity>")
    def launch(identity: str) -> Response:
        """Show a run that has no folder yet, or lead to it."""
        found = studio.launches.find(identity)
        if found is None:
            return make_response(render_template("gone.html", name=identity), 404)
        if found.run:
            recipe, _, name = found.run.partition("/")
            return redirect(url_for("run", recipe=recipe, name=name), 303)
        return make_response(render_template("launch.html", launch=found))

    @app.post("/launches/<identity>/stop")
    def stop_launch(identity: str) -> Response:
        """Stop a run that has no folder yet."""
        if (found := studio.launches.find(identity)) is not None:
            studio.launches.stop(found)
        return redirect(url_for("launch", identity=identity), 303)

    @app.post("/launches/<identity>/forget")
    def forget_launch(identity: str) -> Response:
        """Remove what is known of a run that has ended without a folder."""
        found = studio.launches.find(identity)
        if found is not None and not found.alive:
            studio.launches.forget(found)
        return redirect(url_for("runs"), 303)


def _received(studio: Studio) -> Wish:
    """Return what the form asks for; its file is kept, or was kept before."""
    sent = request.files.get("file")
    if sent is not None and sent.filename:
        return Wish.of(request.form, studio.uploads.keep(sent.filename, sent.stream))
    kept = request.form.get("kept", "")
    if kept and not request.form.get("drop_file"):
        studio.uploads.path(kept)
        return Wish.of(request.form, kept)
    return Wish.of(request.form, "")


def _form(studio: Studio, wish: Wish, status: int, error: str = "", plan: str = "", command: str = "") -> Response:
    """Return the form as it was filled in, with an error or a plan."""
    profiles = dict.fromkeys(["auto", *(name for offer in studio.offers for name in offer.profiles)])
    return make_response(
        render_template(
            "new.html", wish=wish, offers=studio.offers, defaults=DEFAULTS, profiles=list(profiles), error=error,
            plan=plan, command=command, accept=",".join((*PHOTOS, *MESHES)), photos=",".join(PHOTOS),
        ),
        status,
    )  # fmt: skip
