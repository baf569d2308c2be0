"""Tests of which requests are answered, and of how errors look."""

import io

import pytest

from bozzetto_studio.app import make_app
from bozzetto_studio.guard import Guard
from bozzetto_studio.studio import Studio
from bozzetto_studio.viewers import Viewers


def test_names_other_than_this_machines_are_refused(client):
    assert client.get("/").status_code == 200
    for host in ("evil.example", "localhost.evil.example:8090"):
        answer = client.get("/", headers={"Host": host})
        assert answer.status_code == 403 and answer.text == "Open this page as http://localhost."


def test_pages_of_other_sites_can_send_no_form(client, studio):
    own = {"secret": studio.guard.form_secret}
    for path in ("/plan", "/start", "/runs/a/b/delete", "/launches/0123456789ab/stop"):
        assert client.post(path, data=own, headers={"Origin": "http://evil.example"}).status_code == 403
        assert client.post(path, data=own, headers={"Origin": "null"}).status_code == 403
        assert client.post(path).status_code == 403
        assert "is older than the studio" in client.post(path, data={"secret": "x"}).text


def test_with_a_token_the_address_lets_a_browser_in(outputs):
    app = make_app(Studio(outputs, (), Guard("secret-word"), Viewers("0.0.0.0", "secret-word")))
    client, stranger = app.test_client(), app.test_client()
    assert client.get("/").status_code == client.get("/?token=secret-wort").status_code == 401
    answer = client.get("/new?token=secret-word")
    assert answer.status_code == 303 and answer.location == "/"
    assert "HttpOnly" in answer.headers["Set-Cookie"] and "SameSite=Strict" in answer.headers["Set-Cookie"]
    assert client.get("/").status_code == 200 and stranger.get("/").status_code == 401


def test_pages_load_nothing_from_elsewhere(client):
    policy = client.get("/new").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy and "http" not in client.get("/new").text.split("<main>")[0]


@pytest.mark.parametrize("path", ["/nothing", "/runs", "/runs/a", "/runs/a/b/images/x/y", "/launches/x/y"])
def test_what_is_not_there_is_told(client, path):
    answer = client.get(path)
    assert answer.status_code == 404 and "All runs" in answer.text


def test_a_file_that_is_too_large_is_told(client, studio, monkeypatch):
    client.application.config["MAX_CONTENT_LENGTH"] = 10_000
    data = {"secret": studio.guard.form_secret, "file": (io.BytesIO(b"x" * 20_000), "a.png")}
    answer = client.post("/plan", data=data)
    assert answer.status_code == 413 and "error: file: is too large. A file may have up to 256 MB." in answer.text


def test_errors_of_the_system_are_told_without_a_traceback(client, studio, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "/x/y")

    monkeypatch.setattr("bozzetto_studio.run_pages.runs_of", full)
    answer = client.get("/")
    assert answer.status_code == 500 and "error: No space left on device: /x/y" in answer.text
