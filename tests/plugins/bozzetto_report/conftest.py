"""Run folders of a few kilobytes, written by hand."""

from __future__ import annotations

import json
import os
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from PIL import Image

from bozzetto.engine.run_folder import RunFolder

VOID = ("meta", "img", "input", "br")
GLB = b"glTF\x02\x00\x00\x00" + bytes(range(256)) * 3 + b"\xff\xfe"
VERIFIED = {"silhouette_overlap": 0.98, "psnr_db": 25.0, "object_psnr_db": 19.0}


class Page(HTMLParser):
    """HTML page: balanced elements, their attributes, and the texts in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"{tag} closes nothing"

    def handle_data(self, data):
        for tag in self.open:
            self.texts[tag][-1] += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return self.texts["main"][0]


class FakeRun:
    """Writer of run folders; `made` is the latest."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, name="run", state="finished", reason="", recipe=None, manifest=None, exports=True) -> Path:
        folder = RunFolder(self.root / name)
        folder.make_parts()
        steps = 40 if state == "finished" else 20
        values = {
            "prompt": "a cactus",
            "seed": 0,
            "system": {"tasks": {"random": {"losses": {"sds": 1.0}}}},
            "trainer": {"steps": 40},
            "name": "fake",
            **(recipe or {}),
        }
        folder.recipe_file.write_text(yaml.safe_dump(values, sort_keys=False))
        facts = {
            "recipe": "fake",
            "profile": "cpu",
            "stages": {"main": {"finished": state == "finished", "steps": steps, "seconds_by_part": {"building": 2.5, "training": 10.0}}},
            "exports": {"mesh": {"files": ["export/mesh.glb"], "faces": 20000, "watertight": True, "seconds": 7.5, "verified": {"mesh.glb": VERIFIED}}} if exports else {},
            "end": {"state": state, "reason": reason, "at": "2026-01-01 00:00:00+00:00"},
            **(manifest or {}),
        }  # fmt: skip
        folder.manifest_file.write_text(json.dumps(facts))
        rows = [f"{step},{0.2 + step / 1000},{100 / step}," for step in range(1, steps + 1)]
        (folder.metrics / "main.csv").write_text(
            "\n".join(["step,random/opacity,random/sds,gradient_norm", *rows]) + "\n"
        )
        for step in range(10, steps + 1, 10):
            Image.new("RGB", (32, 24), (step, 0, 0)).save(folder.images / f"main-{step:06d}.png")
        Image.new("RGB", (8, 8)).save(folder.images / "main-000010-random-noisy.png")
        folder.keep_line("notice    the photo has no mask")
        folder.keep_line("Mesh: 20000 faces")
        if exports:
            (folder.export / "mesh.glb").write_bytes(GLB)
            (folder.export / "turntable.mp4").write_bytes(b"a video")
            Image.new("RGB", (64, 16)).save(folder.export / "contact_sheet.png")
        return folder.path


@pytest.fixture
def fake_run(tmp_path) -> FakeRun:
    return FakeRun(tmp_path)


@pytest.fixture
def steered_run(fake_run):
    """Return the folder of a finished run whose prompt and learning rate were changed while it trained."""
    path = fake_run("steered", recipe={"system": {"optimizer": {"lr": 0.01}}})
    changes = [
        {"stage": "main", "step": 30, "key": "prompt", "value": "a <red> chair"},
        {"stage": "main", "step": 12, "key": "system.optimizer.lr", "value": {"from": 0.02, "to": 0.01}},
        {"stage": "main", "step": 5, "key": "prompt", "value": "a chair"},
    ]
    (path / "changes.json").write_text(json.dumps(changes))
    return path


@pytest.fixture
def running_elsewhere(tmp_path):
    """Return a writer of lock holders: of this process, or of another one."""

    def hold(folder: Path, process: int = os.getpid()) -> None:
        import platform

        facts = {"process": process, "machine": platform.node(), "since": "now"}
        (folder / ".lock-holder.json").write_text(json.dumps(facts))

    return hold
