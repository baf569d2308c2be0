"""The web application: which requests are answered, and how errors are shown. Imports Flask, and no torch."""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib.resources import files

from flask import Flask, Response, make_response, redirect, render_template, request
from markupsafe import Markup
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.wrappers import Response as AnyResponse

from bozzetto.errors import UserError
from bozzetto_studio.guard import Refusal, name_of, same
from bozzetto_studio.new_pages import new_pages
from bozzetto_studio.run_pages import run_pages
from bozzetto_studio.studio import Studio
from bozzetto_studio.uploads import MOST_MB

COOKIE = "bozzetto-studio"
SYSTEM_STATUS = 500


def make_app(studio: Studio) -> Flask:
    """Return the application for an outputs folder."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MOST_MB * 10**6
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True

    @app.before_request
    def let_in() -> AnyResponse | None:
        """Answer a request that is refused, and one that brings the token."""
        guard = studio.guard
        if guard.token and same(request.args.get("token", ""), guard.token):
            answer = redirect("/", 303)
            answer.set_cookie(COOKIE, guard.token, httponly=True, samesite="Strict")
            return answer
        refusal = guard.refusal(
            request.headers.get("Host", ""), request.headers.get("Origin"), request.cookies.get(COOKIE, "")
        )
        if refusal is None and request.method == "POST":
            refusal = guard.refused_form(request.form.get("secret", ""))
        return None if refusal is None else _refused(refusal)

    @app.context_processor
    def shared() -> dict[str, object]:
        """Return what every template may use."""
        return {
            "secret": studio.guard.form_secret,
            "style": _own("style.css"),
            "script": _own("script.js"),
            "most_mb": MOST_MB,
            "outputs": studio.outputs,
        }

    @app.after_request
    def restrict(response: Response) -> Response:
        """Let the browser load nothing from elsewhere and run no other code than this page's."""
        if "Content-Security-Policy" not in response.headers:
            host = name_of(request.headers.get("Host", "")) or "localhost"
            response.headers["Content-Security-Policy"] = (
                f"default-src 'none'; img-src 'self' data: blob:; media-src 'self'; style-src '{_hash('style.css')}'; "
                f"script-src '{_hash('script.js')}'; connect-src 'self'; form-action 'self' http://{host}:*; "
                "frame-ancestors 'none'; base-uri 'none'"
            )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    _add_errors(app)
    new_pages(app, studio)
    run_pages(app, studio)
    return app


def _add_errors(app: Flask) -> None:
    """Add the pages of errors; none shows a traceback."""

    @app.errorhandler(UserError)
    def user_error(error: UserError) -> AnyResponse:
        """Show an error that the user can fix, as the command line prints it."""
        return message(422, "This cannot be done", str(error))

    @app.errorhandler(RequestEntityTooLarge)
    def too_large(error: RequestEntityTooLarge) -> AnyResponse:
        """Say how large a file may be."""
        return message(413, "This cannot be done", f"file: is too large. A file may have up to {MOST_MB} MB.")

    @app.errorhandler(HTTPException)
    def no_page(error: HTTPException) -> AnyResponse:
        """Say that there is no such page."""
        return message(error.code or SYSTEM_STATUS, error.name, "")

    @app.errorhandler(OSError)
    def system_error(error: OSError) -> AnyResponse:
        """Show an error of the system: a full disk, a folder that cannot be written."""
        files_named = " ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        return message(SYSTEM_STATUS, "This has failed", f"{error.strerror or error}: {files_named}".rstrip(": "))


def message(status: int, title: str, error: str) -> AnyResponse:
    """Return a page that says one thing."""
    return make_response(render_template("message.html", title=title, error=error), status)


def _refused(refusal: Refusal) -> AnyResponse:
    return Response(refusal.text, refusal.status, content_type="text/plain; charset=utf-8")


@functools.cache
def _own(name: str) -> Markup:
    """Return a file of this package's templates, as it is."""
    return Markup(files("bozzetto_studio").joinpath("templates", name).read_text(encoding="utf-8"))


@functools.cache
def _hash(name: str) -> str:
    """Return by what a policy knows a file of this package's templates."""
    return "sha256-" + base64.b64encode(hashlib.sha256(_own(name).encode()).digest()).decode()
