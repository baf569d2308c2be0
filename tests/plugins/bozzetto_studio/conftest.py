"""Fixtures of the studio's tests: an outputs folder, a command line that is quick, and a client without a browser."""

import json
import os
import platform
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

pytest.importorskip("flask", reason="the extra 'studio' is not installed")

from bozzetto.engine.run_lock import HOLDER
from bozzetto_studio.app import make_app
from bozzetto_studio.guard import Guard
from bozzetto_studio.offers import Offer
from bozzetto_studio.studio import Studio
from bozzetto_studio.viewers import Viewers

PATIENCE_S = 60.0
OFFERS = (
    Offer("dreamfusion-sd", "a prompt <b>", "words", "", ("cuda", "cpu")),
    Offer("zero123", "a photo", "photo", "image", ("cuda", "cpu")),
    Offer("texture-mesh", "a mesh", "mesh", "system.geometry.asset.path", ("cpu", "fast")),
)
COMMAND_LINE = '''
"""Stands in for the command line: checks one field, and trains until it is told to stop."""
import json, os, signal, sys, time
from datetime import datetime
from pathlib import Path

words = sys.argv[1:]
values = dict(word.split("=", 1) for word in words if "=" in word)
if values.get("seed") == "no":
    print("warning of a library", file=sys.stderr)
    sys.exit("error: --config: seed: must be a number, got 'no'.\\nSee the help.")
if "--dry-run" in words:
    print("recipe    " + " ".join(words) + "\\nmemory    about 0.2 GB")
    sys.exit(0)
if values.get("seed") == "late":
    sys.exit("error: the weights cannot be read")
if words[0] == "report":
    Path(words[1], "report.html").write_text("<p>the report</p><script>1</script>")
    sys.exit(0)
if words[0] == "export":
    print("wrote     mesh.glb")
    sys.exit(0)
new = "--config" in words
folder = Path(values["output"], "zero123", "a-run-0a1b2c") if new else Path(words[words.index("--resume") + 1])
(folder / "images").mkdir(parents=True, exist_ok=True)
manifest = {"prompt": values.get("prompt", ""), "image": values.get("image", ""), "profile": "cpu", "stages": {}}
def record(state):
    (folder / "manifest.json").write_text(json.dumps({**manifest, "end": state and {"state": state, "reason": ""}}))
(folder / "recipe.yaml").write_text("trainer: {steps: 20}")
record(None)
facts = {"process": os.getpid(), "machine": os.uname().nodename, "since": datetime.now().astimezone().isoformat()}
(folder / ".lock-holder.json").write_text(json.dumps(facts))
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
print(f"run       {folder}\\nmain  step 7 of 20 (35 %)  0.50 steps/s  00:26 left  opacity 0.2", flush=True)
until = time.monotonic() + 60
while not asked and time.monotonic() < until:
    time.sleep(0.02)
record("stopped")
(folder / ".lock-holder.json").unlink()
sys.exit(143)
'''


@pytest.fixture(name="wait_until")
def wait_until_fixture():
    return wait_until


def wait_until(true, what, limit_s=PATIENCE_S):
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError(f"still not after {limit_s:g} s: {what}")


@pytest.fixture
def outputs(tmp_path):
    (tmp_path / "outputs").mkdir()
    return tmp_path / "outputs"


@pytest.fixture
def command_line(tmp_path, monkeypatch):
    file = tmp_path / "command_line.py"
    file.write_text(COMMAND_LINE)
    monkeypatch.setattr("bozzetto_studio.processes.BOZZETTO", (sys.executable, str(file)))


@pytest.fixture
def studio(outputs, command_line):
    made = Studio(outputs, OFFERS, Guard(""), Viewers("127.0.0.1", ""))
    yield made
    made.viewers.close()


@pytest.fixture
def client(studio):
    return make_app(studio).test_client()


@pytest.fixture
def post(client, studio):
    """Send a form as this page's own."""

    def send(path, status=303, **fields):
        answer = client.post(path, data={"secret": studio.guard.form_secret, **fields})
        assert answer.status_code == status, answer.text
        return answer

    return send


@pytest.fixture
def make_run(outputs):
    """Write the folder of a run; returns its path."""

    def make(name="zero123/a-cat-000001", state="finished", reason="", holder=None, log="", **manifest):
        path = outputs / name
        for part in ("images", "export", "metrics"):
            (path / part).mkdir(parents=True, exist_ok=True)
        (path / "recipe.yaml").write_text("trainer: {steps: 20}\n")
        end = state and {"state": state, "reason": reason}
        facts = {"prompt": "a cat", "profile": "cpu", "stages": {"main": {"steps": 20}}, "end": end, **manifest}
        (path / "manifest.json").write_text(json.dumps(facts))
        (path / "metrics" / "main.csv").write_text("step,random/sds\n1,0.5\n9,0.25\n")
        if holder is not None:
            (path / HOLDER).write_text(json.dumps({**held_by(os.getpid()), **holder}))
        if log:
            (path / "studio.log").write_text(log)
        return path

    return make


def held_by(process):
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return {"process": process, "machine": platform.node(), "since": since}


@pytest.fixture
def a_picture():
    """Write a validation image of four views: red above green above blue."""
    from PIL import Image

    def write(path: Path, size=(64, 48)):
        picture = Image.new("RGB", size, "blue")
        picture.paste("green", (0, 0, size[0], 2 * size[1] // 3))
        picture.paste("red", (0, 0, size[0], size[1] // 3))
        picture.save(path)
        return path

    return write
