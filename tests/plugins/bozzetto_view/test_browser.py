"""Tests of the page in a real browser: Debian's Chromium. Skipped where there is none; screenshots are kept.

`BOZZETTO_SCREENSHOTS` names the folder of screenshots; without it they are not kept.
"""

import math
import os
import shutil
from pathlib import Path

import pytest

PATIENCE_S = 60.0
"""Limit of what is waited for in the browser."""
ARGUMENTS = [
    "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist", "--disable-dev-shm-usage",
]  # fmt: skip


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
def visit(chromium):
    contexts = []

    def open_(window):
        context = chromium.new_context(viewport={"width": 1100, "height": 700})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE_S)
        page.goto(f"http://localhost:{window.gate.port}/")
        page.get_by_role("button", name="Save now").wait_for()
        return page

    yield open_
    for context in contexts:
        context.close()


def shoot(page, name):
    if folder := os.environ.get("BOZZETTO_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name}.jpg", type="jpeg", quality=80)


def orbit(page, right=120):
    page.mouse.move(200, 350)
    page.mouse.down()
    page.mouse.move(200 + right, 330, steps=4)
    page.mouse.up()


def places(window):
    """Positions of the browsers' cameras; a browser first tells one of its own, then the one that the window gives."""
    return [browser.pose and browser.pose.position for browser in window.painter.browsers.values()]


@pytest.mark.slow
def test_a_run_is_watched_and_steered_and_goes_on_without_its_page(training, open_window, visit, wait_until):
    wait_until(lambda: training.step > 0, "the first step")
    window = open_window(training.folder)
    first, second = visit(window), visit(window)
    start = pytest.approx(tuple(window.server.initial_camera.position))
    wait_until(lambda: [place == start for place in places(window)] == [True, True], "both cameras are at the start")
    wait_until(lambda: all(browser.sent for browser in window.painter.browsers.values()), "both have pictures")
    orbit(first)
    wait_until(lambda: [place == start for place in places(window)].count(False) == 1, "one camera has moved")

    first.wait_for_timeout(1000)
    shoot(first, "orbited")
    shoot(second, "another-browser")  # whose camera is still at the start

    first.get_by_role("button", name="Pause").click()
    wait_until(lambda: training.live.state().paused, "the training is paused")
    second.get_by_role("button", name="Resume").wait_for()
    first.get_by_role("tab", name="Change").click()
    first.get_by_role("textbox").first.fill("a red chair")
    first.get_by_role("button", name="Apply").click()
    wait_until(lambda: training.live.state().changes, "the prompt has changed")
    first.get_by_text("prompt=a red chair").first.wait_for()
    first.get_by_text("a red chair", exact=True).wait_for()
    second.get_by_text("a red chair", exact=True).wait_for()
    shoot(first, "changed")
    first.get_by_role("tab", name="Run").click()
    first.get_by_role("button", name="Resume").click()
    paused_at = training.step
    wait_until(lambda: training.step > paused_at and not training.live.state().paused, "it trains on")
    shoot(second, "running")

    first.close()
    wait_until(lambda: len(window.painter.browsers) == 1, "the first browser is forgotten")
    closed_at = training.step
    wait_until(lambda: training.step > closed_at, "it trains on")
    second.get_by_text("stage main, step").wait_for()
    shoot(second, "tab-closed")
    second.close()
    wait_until(lambda: not window.painter.browsers, "both browsers are forgotten")
    closed_at = training.step
    wait_until(lambda: training.step > closed_at, "it trains on without a page")
    assert training.error is None and training.thread.is_alive()


@pytest.mark.slow
def test_training_cameras_and_the_exported_mesh_are_shown(training, textured, open_window, visit, wait_until):
    wait_until(lambda: training.step > 0, "the first step")
    textured.export(training.folder.export / "mesh.glb")
    window = open_window(training.folder)
    page = visit(window)
    wait_until(lambda: window.painter.drawn > 0, "a picture")
    page.get_by_role("checkbox").first.check()
    wait_until(lambda: window.page._frusta > 0, "the cameras of the latest step")
    assert window.page._cameras.value
    start = math.dist(window.server.initial_camera.position, (0.0, 0.0, 0.0))
    wait_until(lambda: math.dist(places(window)[0], (0.0, 0.0, 0.0)) > 1.5 * start, "a view from behind the cameras")
    page.wait_for_timeout(1500)  # frusta and picture
    shoot(page, "cameras")
    pictures = page.locator("img:visible")
    assert pictures.count() == 0  # the texture is seen in its tab alone
    page.get_by_role("tab", name="Export").click()
    page.get_by_text("12 faces").first.wait_for()
    wait_until(lambda: pictures.count() == 2, "texture and UV layout")
    for name in ("texture", "UV layout"):
        assert page.get_by_text(name, exact=True).is_visible()
    exports = window.page._exports
    for choice in ("mesh", "wireframe"):
        page.locator("input:visible").last.click()  # the only field of this tab
        page.get_by_role("option", name=choice, exact=True).click()
        wait_until(lambda choice=choice: (exports._drawn or [""])[0] == choice and exports.visible, choice)
        page.wait_for_timeout(1000)
        shoot(page, f"export-{choice}")


@pytest.mark.slow
def test_two_stages_are_buttons(tiny, open_window, visit, wait_until):
    trainer = {"steps": 1, "image_every": 0, "loggers": []}
    recipe = tiny.recipe({"trainer": trainer, "export": None, "stages": {"coarse": {}, "fine": {}}})
    pipeline = tiny.pipeline(recipe)
    pipeline.run(recipe)
    window = open_window(pipeline.folder)
    page = visit(window)
    wait_until(lambda: window.painter.drawn > 0, "a picture")
    page.get_by_role("button", name="coarse").click()
    page.get_by_role("button", name="\N{BLACK CIRCLE} coarse").wait_for()
    wait_until(lambda: window.source._loaded.stage == "coarse", "the scene of the first stage")
    shoot(page, "stages")
    page.get_by_role("button", name="latest").click()
    wait_until(lambda: window.source._loaded.stage == "fine", "the scene of the second stage")
    page.get_by_role("button", name="\N{BLACK CIRCLE} latest").wait_for()


@pytest.mark.slow
def test_a_page_that_ends_with_its_run_says_how_to_see_it_again(training, open_window, close_window, visit, wait_until):
    wait_until(lambda: training.step > 0, "the first step")
    window = open_window(training.folder)
    page = visit(window)
    wait_until(lambda: window.painter.drawn > 0, "a picture")
    training.stop()
    close_window(window)
    for text in ("The run was stopped in stage main", "Look at it again: bozzetto view"):
        assert page.get_by_text(text).count() > 0, text
    page.wait_for_timeout(1000)
    shoot(page, "ended")


@pytest.mark.slow
def test_the_page_of_a_deleted_run_says_so(training, open_window, visit, wait_until):
    wait_until(lambda: training.step > 0, "the first step")
    training.stop()
    window = open_window(training.folder)
    page = visit(window)
    page.get_by_text("not training now").wait_for()
    wait_until(lambda: window.painter.drawn > 0, "a picture")
    shoot(page, "stopped")
    shutil.rmtree(training.folder.path)
    page.get_by_text("This run has been deleted.").wait_for()
    drawn = window.painter.drawn
    orbit(page)
    wait_until(lambda: window.painter.drawn > drawn, "what was read is still shown")
    shoot(page, "deleted")
    assert not training.folder.path.exists()
