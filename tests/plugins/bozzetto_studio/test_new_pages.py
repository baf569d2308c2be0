"""Tests of the pages of a new run, without a browser."""

import io
import re

import pytest


def test_the_form_offers_recipes_by_what_they_start_from(client):
    text = client.get("/new").text
    order = [
        text.index(word)
        for word in (
            'data-fits="words"',
            "dreamfusion-sd",
            'data-fits="photo"',
            "zero123",
            'data-fits="mesh"',
            "texture-mesh",
        )
    ]
    assert order == sorted(order) and "a prompt &lt;b&gt;" in text
    assert re.findall(r"<option[^>]*>(\w+)", text) == ["auto", "cuda", "cpu", "fast"]


def test_a_plan_is_shown_and_the_form_stays_filled_in(post):
    text = post("/plan", 200, prompt='a "cat"', recipe="dreamfusion-sd", seed="3", lines="a.b=1").text
    assert (
        "memory    about 0.2 GB" in text
        and 'value="a &#34;cat&#34;"' in text
        and 'value="3"' in text
        and "a.b=1" in text
    )
    assert "bozzetto run --config dreamfusion-sd --profile=auto" in text and 'value="dreamfusion-sd" checked' in text


@pytest.mark.parametrize("path", ["/plan", "/start"])
def test_errors_are_those_of_the_command_line(post, path):
    text = post(path, 422, prompt="a cat", recipe="dreamfusion-sd", seed="no").text
    assert "error: --config: seed: must be a number, got &#39;no&#39;.\nSee the help." in text and 'value="no"' in text
    assert "error: prompt: is missing." in post(path, 422, recipe="dreamfusion-sd").text
    assert "is neither a photo nor a mesh" in post(path, 422, recipe="zero123", file=(io.BytesIO(b"x"), "a.exe")).text


def test_a_photo_is_kept_between_the_plan_and_the_start(post, client, studio, wait_until):
    text = post("/plan", 200, recipe="zero123", file=(io.BytesIO(b"photo"), "../My Cat.png")).text
    kept = re.search(r'name="kept" value="([^"]+)"', text)[1]
    assert kept.endswith("/my-cat.png") and client.get(f"/uploads/{kept}").data == b"photo"
    answer = post("/start", recipe="zero123", kept=kept)
    wait_until(lambda: client.get(answer.location).status_code == 303, "its folder")
    answer = client.get(answer.location)
    assert answer.location == "/runs/zero123/a-run-0a1b2c/"
    assert f"image={studio.uploads.folder / kept}" in client.get(answer.location).text
    post(f"{answer.location}stop")
    assert "without it" in post("/plan", 422, prompt="a cat", recipe="zero124", kept=kept).text
    assert (
        post("/plan", 200, prompt="a cat", recipe="dreamfusion-sd", kept=kept, drop_file="yes").text.count("my-cat")
        == 0
    )
    assert "Choose it again" in post("/plan", 422, recipe="zero123", kept="../x.png").text


def test_a_launch_is_shown_until_it_has_a_folder_or_has_failed(post, client, wait_until):
    page = post("/start", prompt="a cat", recipe="dreamfusion-sd", seed="late").location
    wait_until(lambda: 'role="alert">error: the weights cannot be read<' in client.get(page).text, "its error")
    assert "the weights cannot be read" in client.get("/").text
    post(f"{page}/stop")
    post(f"{page}/forget")
    answer = client.get(page)
    assert answer.status_code == 404 and "This run has been deleted" in answer.text


def test_only_photos_are_sent_back(client, studio):
    kept = studio.uploads.keep("a.glb", io.BytesIO(b"mesh"))
    assert client.get(f"/uploads/{kept}").status_code == 404
    assert client.get("/uploads/0123456789abcdef/x.png").status_code == 422
