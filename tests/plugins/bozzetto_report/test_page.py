"""Tests of the pages: whole HTML, nothing loaded from elsewhere, text of users escaped, the object's bytes kept."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from tests.plugins.bozzetto_report.conftest import GLB, Page

from bozzetto_report import page as pages
from bozzetto_report.differences import Parent
from bozzetto_report.facts import read_run
from bozzetto_report.page import comparison_html, report_html, write_comparison, write_report
from bozzetto_report.pictures import Room
from bozzetto_report.viewer import ViewerError

HOSTILE = "</script><script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)> {{ 7*7 }} \" ' &"


def of(path, registry) -> tuple[str, Page]:
    text = report_html(read_run(path), registry)
    return text, Page(text)


def require_closed(text: str, page: Page) -> None:
    """Require that a page loads nothing from elsewhere, and runs nothing but its own scripts."""
    links = [value for _, attributes in page.elements for name, value in attributes.items() if name in ("src", "href")]
    assert all((value or "").startswith("data:") for value in links)
    assert not re.findall(r"@import|url\(", text[: text.index("</style>")])
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    (policy,) = [one["content"] or "" for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and "http" not in policy
    for attributes, code in zip(page.all("script"), page.texts.get("script", []), strict=True):
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert attributes.get("type") == "text/plain" or f"'sha256-{digest}'" in policy


def test_a_finished_run(fake_run, registry):
    text, page = of(fake_run(), registry)
    require_closed(text, page)
    for told in ("a cactus", "finished", "The object", "All sides", "Turntable", "Over time", "Curves", "Seconds by part",
                 "the photo has no mask", "random/opacity", "step 10 to", "export mesh", "silhouette_overlap", "0.98",
                 "prompt: a cactus", "20 s"):  # fmt: skip
        assert told in page.text or told.replace("10 to", "1 to") in page.text, told
    assert len(page.all("polyline")) == 2, "a metric without a number has no curve"
    assert len([one for one in page.all("img") if (one["alt"] or "").startswith("Step")]) == 4, "no debug images"


def test_the_object_inside_is_the_exported_one(fake_run, registry):
    _, page = of(fake_run(), registry)
    scripts = dict(zip([one.get("id") for one in page.all("script")], page.texts["script"], strict=True))
    assert base64.b64decode(scripts["object"].strip()) == GLB
    code = "".join(page.texts["script"])
    assert "SPDX-License-Identifier: MIT" in code and "THREE.GLTFLoader" in code
    assert "2010-2022 three.js authors" in page.text and "Michael Dawson-Haggerty" in page.text


@pytest.mark.parametrize(
    ("state", "reason", "told"),
    [
        ("failed", "NonFiniteError: loss random/sds is nan at step 21", "clip_norm"),
        ("failed", "OutOfMemoryError: CUDA out of memory", "batch_size=1"),
        ("failed", "ExportError: export.mesh: no surface", "bozzetto export"),
        ("failed", "RuntimeError", "--resume"),
        ("stopped", "Interrupted: stopped in stage main at step 20", "--resume"),
    ],
)
def test_a_run_that_ended_early_shows_how_far_it_came(fake_run, registry, state, reason, told):
    text, page = of(fake_run(state=state, reason=reason, exports=False), registry)
    require_closed(text, page)
    assert state in page.text and reason in page.text and told in page.text and "20 of 40 steps" in page.text
    assert "Over time" in page.text and "The object" not in page.text and not page.all("script")


def test_a_folder_with_nothing_but_recipe_and_manifest(fake_run, registry):
    path = fake_run(exports=False, state="running", manifest={"stages": {}, "end": None})
    for part in ("images", "metrics", "export", "log.txt"):
        target = path / part
        for file in target.rglob("*") if target.is_dir() else [target]:
            file.unlink()
        if target.is_dir():
            target.rmdir()
    text, page = of(path, registry)
    require_closed(text, page)
    assert "broken off" in page.text and "a cactus" in page.text and "Curves" not in page.text


def test_damaged_files_are_named_and_left_out(fake_run, registry):
    path = fake_run()
    (path / "export" / "contact_sheet.png").write_bytes(b"\x89PNG\r\n\x1a\n, or not")
    (path / "images" / "main-000020.png").write_bytes((path / "images" / "main-000010.png").read_bytes()[:60])
    (path / "metrics" / "main.csv").write_bytes(b"step,random/sds\n1,2\nx,y\n2\n3,\n4,nan\n5,1e400\n\xff\xfe")
    (path / "recipe.yaml").write_text("prompt: [a\n")
    (path / "log.txt").write_bytes(b"\xff\xfe\x00")
    text, page = of(path, registry)
    require_closed(text, page)
    for told in ("contact_sheet.png cannot be shown", "main-000020.png cannot be shown", "metrics/main.csv cannot be read",
                 "recipe.yaml cannot be read", "log.txt cannot be read"):  # fmt: skip
        assert told in page.text
    assert "Over time" in page.text


def test_text_of_users_is_text(fake_run, registry):
    path = fake_run(
        state="failed", reason=f"ConfigError: {HOSTILE}", recipe={"prompt": HOSTILE, "stand_ins": [HOSTILE], "name": HOSTILE},
        manifest={"weights": {"m": {"name": HOSTILE}}, "profile": HOSTILE, "command": [HOSTILE]},
    )  # fmt: skip
    (path / "metrics" / "main.csv").write_text(f'step,"{HOSTILE.replace(chr(34), chr(34) * 2)}"\n1,2\n2,3\n')
    text, page = of(path, registry)
    require_closed(text, page)
    assert len(page.all("script")) == 3 and HOSTILE in page.text and "49" not in page.texts["title"][0]
    assert "alert(1)" not in "".join(page.texts["script"])
    both = comparison_html([read_run(path), read_run(fake_run("other"))])
    require_closed(both, Page(both))
    assert HOSTILE in Page(both).text and not Page(both).all("script")


def test_another_trimesh_costs_the_viewer_and_nothing_else(fake_run, registry, monkeypatch):
    def missing():
        raise ViewerError("the object cannot be turned here")

    monkeypatch.setattr(pages, "library", missing)
    text, page = of(fake_run(), registry)
    require_closed(text, page)
    assert "the object cannot be turned here" in page.text and not page.all("script") and "All sides" in page.text


def test_what_is_too_large_is_left_in_the_folder(fake_run, registry, monkeypatch):
    monkeypatch.setattr(pages, "Room", lambda: Room(left=600))
    text, page = of(fake_run(), registry)
    require_closed(text, page)
    assert "mesh.glb is too large for this page" in page.text and "The object" not in page.text


def test_a_page_replaces_the_one_before(fake_run, registry):
    path = fake_run()
    assert write_report(read_run(path), registry) == path / "report.html"
    first = (path / "report.html").read_text(encoding="utf-8")
    write_report(read_run(path), registry)
    assert (path / "report.html").read_text(encoding="utf-8") == first
    assert not list(path.glob(".writing-*"))


def test_several_runs_side_by_side(fake_run, tmp_path):
    one = fake_run("one", recipe={"trainer": {"steps": 40}, "seed": 0})
    two = fake_run(
        "two", state="failed", reason="NonFiniteError: nan", recipe={"trainer": {"steps": 80}, "seed": 0}, exports=False
    )
    written = write_comparison([read_run(one), read_run(two)], tmp_path / "comparison.html")
    text = written.read_text(encoding="utf-8")
    page = Page(text)
    require_closed(text, page)
    rows = [row.split("\n") for row in page.texts["tr"]]
    cells = {tuple(cell for cell in "".join(row).split() if cell) for row in rows}
    assert ("trainer.steps4080",) in cells and not any("seed" in cell for row in cells for cell in row)
    assert "NonFiniteError: nan" in page.text and "seconds, training and exports, without pauses20.012.5" in page.text
    assert "mesh: faces20000–" in page.text and "random/opacity0.2385" in page.text
    assert len(page.all("polyline")) == 4, "two metrics of two runs"


def test_a_steered_run_shows_what_was_changed_and_the_recipe_in_the_end(steered_run, registry, monkeypatch):
    parent = Parent("fake", {"prompt": "a cactus", "system": {"optimizer": {"lr": 0.01}}, "trainer": {"steps": 40}})
    monkeypatch.setattr(pages, "parent_of", lambda run, registry: parent)
    text, page = of(steered_run, registry)
    require_closed(text, page)
    assert page.texts["h1"] == ["a <red> chair"] and page.texts["title"][0].startswith("a <red> chair")
    cells = {"".join(row.split("\n")) for row in page.texts["tr"]}
    assert "30prompta <red> chair" in cells and '12system.optimizer.lr{"from": 0.02, "to": 0.01}' in cells
    assert "prompta cactusa <red> chair" in cells and "system.optimizer.lr0.01from 0.02, to 0.01" in cells
    assert "with what was changed while it trained" in page.text
    assert any("prompt: a <red> chair" in one for one in page.texts["pre"])
    again = next(one for one in page.texts["pre"] if one.endswith("seed=1"))
    assert "'prompt=a <red> chair'" in again and "prompt=a chair" not in again and "system.optimizer.lr=" in again


def test_runs_side_by_side_tell_what_was_changed(fake_run, steered_run):
    text = comparison_html([read_run(fake_run()), read_run(steered_run)])
    page = Page(text)
    require_closed(text, page)
    assert "2. a <red> chair" in page.text and "changed from main, step 5: prompt=a chair" in page.text
    cells = {"".join(row.split("\n")) for row in page.texts["tr"]}
    assert "prompta cactusa <red> chair" in cells


def test_pauses_and_short_names_of_parts_are_explained(fake_run, registry):
    seconds = {"training": 10.0, "broadcast": 0.5, "observed": 0.2, "steering": 61.0}
    stages = {"main": {"finished": True, "steps": 40, "seconds_by_part": seconds}}
    _, page = of(fake_run(manifest={"stages": stages}), registry)
    for told in ("18 s · and 61 s of pauses", "broadcast: what was written for viewers", "steering: pauses, and"):
        assert told in " ".join(page.text.split()), told
    assert "steering:" not in of(fake_run("other"), registry)[1].text
