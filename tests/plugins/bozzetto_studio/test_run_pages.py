"""Tests of the pages of runs, without a browser."""

import io
import json
import zipfile

import pytest

from bozzetto.engine.run_lock import HOLDER
from bozzetto.errors import UserError

RUN = "/runs/zero123/a-cat-000001/"


def test_an_empty_folder_invites(client):
    assert "There is no run in this folder yet" in client.get("/").text


def test_all_runs_are_listed_with_state_step_and_picture(client, make_run, a_picture):
    path = make_run("zero123/one-000001", prompt="<i>one</i>")
    a_picture(path / "images" / "main-000020.png")
    make_run("magic3d/two-000002", "failed", "no luck <b>")
    make_run("magic3d/three-000003", None, holder={}, stages={})
    text = client.get("/").text
    assert "&lt;i&gt;one&lt;/i&gt;" in text and "no luck &lt;b&gt;" in text and "<i>" not in text
    assert text.index("magic3d/three-000003") < text.index("zero123/one-000001")
    assert "step 9 of 20" in text and '<progress value="9" max="20">' in text
    small = client.get("/runs/zero123/one-000001/small/main-000020.png?v=3")
    assert (
        small.mimetype == "image/jpeg"
        and small.data[:2] == b"\xff\xd8"
        and "max-age=86400" in small.headers["Cache-Control"]
    )


def test_the_page_of_a_run_has_its_files(client, make_run, a_picture):
    path = make_run(log="$ bozzetto run\nall <is> well\n")
    a_picture(path / "images" / "main-000020.png")
    a_picture(path / "images" / "photo.png")
    (path / "export" / "mesh.glb").write_bytes(b"glTF")
    (path / "export" / "mesh.obj").write_text("v 0 0 0")
    text = client.get(RUN).text
    assert (
        "finished" in text
        and "all &lt;is&gt; well" in text
        and "main, step 20" in text
        and "photo, as it is used" in text
    )
    assert text.index("Download mesh.glb") < text.index(">mesh.obj<")
    glb = client.get(f"{RUN}export/mesh.glb")
    assert glb.data == b"glTF" and "attachment" in glb.headers["Content-Disposition"]
    assert client.get(f"{RUN}images/photo.png").mimetype == "image/png"
    with zipfile.ZipFile(io.BytesIO(client.get(f"{RUN}export.zip").data)) as archive:
        assert archive.namelist() == ["a-cat-000001/mesh.glb", "a-cat-000001/mesh.obj"]


@pytest.mark.parametrize("name", ["none.png", "..%2fmanifest.json", "../manifest.json", ".hidden.png", "link.png"])
def test_only_files_of_a_run_are_sent(client, make_run, name):
    path = make_run()
    (path / "images" / ".hidden.png").write_text("x")
    (path / "images" / "link.png").symlink_to("/etc/passwd")
    assert client.get(f"{RUN}images/{name}").status_code == 404


def test_the_report_is_written_if_it_is_missing_and_cannot_use_this_page(client, make_run):
    path = make_run()
    answer = client.get(f"{RUN}report")
    assert answer.text.startswith("<p>the report</p>") and (path / "report.html").is_file()
    assert answer.headers["Content-Security-Policy"] == "sandbox allow-scripts"


def test_a_run_that_has_failed_says_why(client, make_run):
    make_run(state="failed", log="$ bozzetto run\nerror: Out of memory. Reduce usage <x>\n")
    text = client.get(RUN).text
    assert "error: Out of memory. Reduce usage &lt;x&gt;" in text and "Resume" in text


def test_buttons_do_what_they_say_or_tell_why_not(post, client, make_run):
    path = make_run(state="stopped")
    text = post(f"{RUN}stop", 422).text
    assert "error: zero123/a-cat-000001: no process of this machine works on it." in text
    assert "error: --config: seed: must be a number" in post(f"{RUN}resume", 422, lines="seed=no").text
    assert "is not an override" in post(f"{RUN}export", 422, lines="--x").text
    assert "error: zero123/a-cat-000001 has exported nothing yet." in client.get(f"{RUN}export.zip").text
    assert "Say that you are sure" in post(f"{RUN}delete", 422).text and path.is_dir()
    assert post(f"{RUN}stop_at_once").location == RUN and post(f"{RUN}export", formats="glb").location == RUN
    assert "export" in (path / "studio.log").read_text() and "--format=glb" in (path / "studio.log").read_text()


def test_a_deleted_run_says_so(post, client, make_run, wait_until):
    path = make_run()
    assert post(f"{RUN}delete", sure="yes").location == "/"
    assert not path.exists()
    for answer in (client.get(RUN), client.get(f"{RUN}images/photo.png"), post(f"{RUN}stop", 404)):
        assert answer.status_code == 404 and "This run has been deleted" in answer.text
    for name in ("/runs/../outputs/", "/runs/.studio/launches/", "/runs/%2e%2e/outputs/"):
        assert client.get(name).status_code == 404


def test_only_runs_are_deleted(post, outputs):
    (outputs / "zero123" / "no-run").mkdir(parents=True)
    post("/runs/zero123/no-run/delete", 404, sure="yes")
    post("/runs/.studio/launches/delete", 404, sure="yes")
    assert (outputs / "zero123" / "no-run").is_dir()


def test_the_viewer_is_opened_by_the_name_that_the_browser_uses(post, client, make_run, studio, monkeypatch):
    path = make_run()
    asked = []

    def address(self, run, seen_as):
        asked.append((run, seen_as))
        if len(asked) > 1:
            raise UserError("The page needs the package viser.")
        return "http://localhost:8081/"

    monkeypatch.setattr("bozzetto_studio.viewers.Viewers.address", address)
    assert post(f"{RUN}view").location == "http://localhost:8081/" and asked == [(path, "localhost")]
    assert "error: The page needs the package viser." in post(f"{RUN}view", 422).text


def test_what_was_changed_while_a_run_trained_is_told(client, make_run):
    path = make_run()
    changes = [
        {"stage": "main", "step": 7, "key": "prompt", "value": "a <red> cat"},
        {"stage": "main", "step": 3, "key": "system.optimizer.lr", "value": 0.02},
    ]
    (path / "changes.json").write_text(json.dumps(changes))
    card, page = client.get("/").text, client.get(RUN).text
    assert "<strong>a &lt;red&gt; cat</strong>" in card and "system.optimizer.lr, prompt" in card
    assert "<h1>a &lt;red&gt; cat</h1>" in page
    assert "from main, step 3: system.optimizer.lr=0.02" in page
    assert "from main, step 7: prompt=a &lt;red&gt; cat" in page
    (path / "changes.json").write_text("[" * 9)
    assert "<h1>a cat</h1>" in client.get(RUN).text


def test_a_run_that_is_trained_offers_neither_to_resume_nor_to_export(client, make_run):
    make_run(state=None, holder={})
    text = client.get(RUN).text
    assert "Resume with changes" not in text and "Export again" not in text and "Delete" in text
    (make_run() / HOLDER).unlink()
    text = client.get(RUN).text
    assert "Resume with changes" in text and "Export again" in text
