"""Tests of the studio in a real browser, Debian's Chromium, with real runs of tiny models. Screenshots are kept.

`BOZZETTO_SCREENSHOTS` names the folder of screenshots; without it they are not kept.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from bozzetto_studio.history import runs_of

PATIENCE_S = 120.0
"""Limit of what is waited for in the browser: a run imports torch first."""
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


def path_of_chromium():
    return next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)


@pytest.fixture(scope="module")
def chromium():
    sync = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = path_of_chromium()
    if path is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS, timeout=1000 * PATIENCE_S)
        yield browser
        browser.close()


@pytest.fixture
def recipes(tiny, tiny_zero123_model, tmp_path, monkeypatch):
    """Install two tiny recipes, one for a photo and one for a prompt."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    values = yaml.safe_load(tiny.recipe_file().read_text())
    values.pop("output")
    values["trainer"] |= {"steps": 20, "image_every": 5, "log_every": 1}
    (folder / "tiny-words.yaml").write_text(yaml.safe_dump({**values, "summary": "A tiny run for a prompt"}))
    values["system"]["tasks"]["random"]["guidance"] = {
        "type": "zero123",
        "model": str(tiny_zero123_model),
        "dtype": "float32",
    }
    views = {"type": "single-image", "image": "${image}", "height": 16, "width": 16}
    values["system"]["tasks"]["reference"] = {"views": views, "losses": {"reference-color": 10.0}}
    values |= {"image": "???", "prompt": "", "summary": "A tiny run for a photo"}
    (folder / "tiny-photo.yaml").write_text(yaml.safe_dump(values))
    code = f"from pathlib import Path\nfrom bozzetto import hookimpl\n\n\n@hookimpl\ndef bozzetto_recipes():\n    return [Path({str(folder)!r})]\n"
    (tmp_path / "tiny_recipes.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("BOZZETTO_PLUGINS", "tiny=tiny_recipes")


@pytest.fixture
def serve(tmp_path, recipes):
    """Start the studio; returns its process and its address."""
    processes = []

    def start():
        words = ["-m", "bozzetto.cli", "studio", str(tmp_path / "runs"), "--port", "0"]
        process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process, process.stdout.readline().split()[1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
    for run in runs_of(tmp_path / "runs"):
        if run.standing.process is not None:
            os.kill(run.standing.process.number, signal.SIGKILL)


@pytest.fixture
def visit(chromium):
    contexts = []

    def open_(address, scheme="light"):
        context = chromium.new_context(viewport={"width": 1000, "height": 760}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.faults = []
        page.on(
            "console",
            lambda said: (
                page.faults.append(said.text) if said.type == "error" and "status of 4" not in said.text else None
            ),
        )
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.set_default_timeout(1000 * PATIENCE_S)
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()


def shoot(page, name):
    if folder := os.environ.get("BOZZETTO_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/studio-{name}.jpg", type="jpeg", quality=80)


def a_photo(path):
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[16:48, 16:48] = (200, 30, 30, 255)
    Image.fromarray(pixels).save(path)
    return path


def drop(page, path):
    """Drop a file on the middle of the page, as a visitor does."""
    content = list(path.read_bytes())
    data = page.evaluate_handle(
        "([bytes, name]) => { const data = new DataTransfer();"
        "data.items.add(new File([new Uint8Array(bytes)], name)); return data; }",
        [content, path.name],
    )
    page.dispatch_event("main", "dragover", {"dataTransfer": data})
    page.dispatch_event("main", "drop", {"dataTransfer": data})


@pytest.mark.slow
def test_a_photo_is_dropped_and_becomes_a_mesh_that_is_downloaded(serve, visit, tmp_path):
    _, address = serve()
    page = visit(f"{address}new")
    page.get_by_text("A tiny run for a prompt").wait_for()
    (tmp_path / "notes.txt").write_text("no photo")
    drop(page, tmp_path / "notes.txt")
    refusal = page.get_by_text("‘notes.txt’ is neither a photo nor a mesh. Give one of: .png")
    refusal.wait_for()
    assert page.get_by_text("A tiny run for a prompt").is_visible() and not page.get_by_text("too large").is_visible()
    shoot(page, "wrong-type")
    drop(page, a_photo(tmp_path / "Red Box.png"))
    assert not refusal.is_visible()
    page.get_by_text("A tiny run for a photo").click()
    assert not page.get_by_text("A tiny run for a prompt").is_visible() and page.locator("#preview").is_visible()
    shoot(page, "new")
    page.get_by_role("button", name="Plan").click()
    page.get_by_role("heading", name="Plan").wait_for()
    assert (
        "stage     main: 20 steps" in page.locator("#plan").inner_text()
        and "red-box.png" in page.locator("#plan").inner_text()
    )
    shoot(page, "plan")
    page.get_by_role("button", name="Start this run").click()
    page.get_by_role("heading", name="red-box").wait_for()
    second = visit(address, "dark")  # another browser sees the same
    second.get_by_text("red-box").first.wait_for()
    page.get_by_role("img", name="step 20").wait_for()
    page.get_by_text("finished", exact=True).wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download mesh.glb").click()
    assert Path(download.value.path()).read_bytes()[:4] == b"glTF" and download.value.suggested_filename == "mesh.glb"
    second.get_by_text("finished", exact=True).wait_for()
    assert second.locator("img.picture").evaluate("picture => picture.naturalWidth") > 0
    shoot(page, "finished")
    shoot(second, "runs")
    assert page.faults == second.faults == []


@pytest.mark.slow
def test_a_run_survives_its_tab_and_the_studio_and_is_stopped_resumed_and_deleted(serve, visit, wait_until, tmp_path):
    process, address = serve()
    page = visit(f"{address}new")
    page.get_by_role("textbox", name="Prompt").fill("a red chair")
    page.get_by_text("A tiny run for a prompt").click()
    page.get_by_role("textbox", name="Further fields").fill("trainer.steps=100000\ntrainer.image_every=10")
    page.get_by_role("button", name="Start").click()
    page.get_by_role("img", name="step 10", exact=True).wait_for()
    place = page.url.removeprefix(address)
    page.context.close()
    process.kill()  # the tab and the studio are gone
    process.wait()
    running = lambda: runs_of(tmp_path / "runs")[0]  # noqa: E731
    before = running().progress.step
    wait_until(lambda: running().standing.state == "running" and running().progress.step > before + 10, "it goes on")

    _, address = serve()
    first, second = visit(f"{address}{place}"), visit(f"{address}{place}")
    first.get_by_text("running", exact=True).wait_for()
    shoot(first, "running")
    first.get_by_role("button", name="Stop", exact=True).click()
    second.get_by_text("stopped", exact=True).wait_for()
    second.get_by_text("Resume with changes").click()
    second.locator("details[open] textarea").fill("system.geometry.levels=3")
    second.locator("details[open]").get_by_role("button", name="Resume").click()
    second.get_by_role("alert").wait_for()
    assert (
        "error: system.geometry.levels=3: the geometry is built and trained" in second.get_by_role("alert").inner_text()
    )
    shoot(second, "error")
    first.get_by_role("button", name="Resume").first.click()
    first.get_by_text("running", exact=True).wait_for()
    second.goto(f"{address}{place}")
    second.get_by_role("button", name="Stop", exact=True).click()
    first.get_by_text("stopped", exact=True).wait_for()

    second.get_by_text("Delete", exact=True).click()
    second.get_by_label("I am sure").check()
    second.get_by_role("button", name="Delete this run").click()
    second.get_by_text("There is no run in this folder yet.").wait_for()
    first.get_by_role("heading", name="This run has been deleted").wait_for()
    shoot(first, "deleted")
    assert first.faults == second.faults == []


@pytest.mark.slow
def test_errors_are_those_of_the_command_line(serve, visit):
    _, address = serve()
    page = visit(f"{address}new")
    page.get_by_role("textbox", name="Prompt").fill("a red chair")
    page.get_by_text("A tiny run for a prompt").click()
    page.get_by_role("textbox", name="Further fields").fill("system.geometry.levls=12")
    page.get_by_role("button", name="Start").click()
    words = ["run", "--config", "tiny-words", "prompt=a red chair", "system.geometry.levls=12", "--dry-run"]
    done = subprocess.run([sys.executable, "-m", "bozzetto.cli", *words], capture_output=True, text=True)
    assert done.returncode == 2 and "Did you mean 'levels'?" in done.stderr
    page.get_by_role("alert").wait_for()
    assert page.get_by_role("alert").inner_text().strip() == done.stderr.strip()
    assert page.get_by_role("textbox", name="Prompt").input_value() == "a red chair" and page.faults == []
    shoot(page, "refused")
