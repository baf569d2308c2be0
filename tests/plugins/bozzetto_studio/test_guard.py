"""Tests of who is let in."""

import pytest

from bozzetto_studio.guard import Guard, name_of


@pytest.mark.parametrize("host", ["localhost:8090", "127.0.0.1", "[::1]:8090", "LOCALHOST:1"])
def test_this_machines_own_page_is_let_in(host):
    assert Guard("").refusal(host, None, "") is None
    assert Guard("").refusal(host, f"http://{host}", "") is None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example", None), ("", None), ("localhost.evil.example", None), ("[", None), ("localhost:8090", "http://evil.example"),
        ("localhost:8090", "http://localhost:9000"), ("localhost:8090", "null"),
    ],
)  # fmt: skip
def test_other_names_and_other_pages_are_not(host, origin):
    assert Guard("").refusal(host, origin, "").status == 403


def test_with_a_token_a_browser_must_know_it():
    guard = Guard("secret-word")
    assert guard.refusal("10.0.0.1:8090", None, "secret-word") is None
    for cookie in ("", "secret-wor", "secret-word-", "ü"):
        assert guard.refusal("10.0.0.1:8090", None, cookie).status == 401
    assert guard.refusal("10.0.0.1:8090", "http://evil.example", "secret-word").status == 403


def test_forms_carry_the_secret_of_this_process():
    one, other = Guard(""), Guard("")
    assert one.refused_form(one.form_secret) is None
    assert one.refused_form("").status == one.refused_form(other.form_secret).status == 403


def test_a_name_is_without_its_port():
    assert (name_of("A.b:80"), name_of("[::1]:2"), name_of("[")) == ("a.b", "::1", "")
