"""Tests of interpolations, resolvers, overrides, and files that are not threestudio recipes."""

from __future__ import annotations

import re

import pytest

from bozzetto.errors import ConfigError
from bozzetto_convert.threestudio_recipe import read


def resolved(theirs, expression, **others):
    values = theirs.minimal() | {"x": expression} | others
    source = theirs.source(values)
    return source.get("x"), source.unresolved.get("x")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("${trainer.max_steps}", 100),
        ("${add:2,3}", 5),
        ("${sub:${trainer.max_steps},10}", 90),
        ("${mul:2,${add:1,2}}", 6),
        ("${div:1,4}", 0.25),
        ("${idiv:${trainer.max_steps},8}", 12),
        ("${tuple2:1.5}", [1.5, 1.5]),
        ("${gt0:${a}}", True),
        ("${not:${gt0:${a}}}", False),
        ("${cmaxgt0:${list}}", True),
        ("${cmaxgt0orcmaxgt0:0,${zero}}", False),
        ("${basename:/photos/a_chair.png}", "a_chair.png"),
        ("run_${rmspace:${system.prompt_processor.prompt},_}_${a}", "run_a_hamburger_1"),
        ("${calc_exp_lr_decay_rate:0.1,2}", pytest.approx(0.1**0.5)),
        ("${list}", [0, 0.0, 0.5, 100]),
        (["${a}", 2], [1, 2]),
    ],
)
def test_interpolations_keep_their_type(theirs, expression, value):
    others = {"a": 1, "list": [0, 0.0, 0.5, 100], "zero": [0, 0.0, 0.0, 100]}
    assert resolved(theirs, expression, **others) == (value, None)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("${nowhere.to.be}", "there is no key 'nowhere.to.be'"),
        ("${my_resolver:1}", "the function 'my_resolver' is not one of threestudio's"),
        ("${x}", "x -> x is circular"),
        ("${div:1,0}", "division"),
        ("${missing}", "missing must still be given"),
    ],
)
def test_what_cannot_be_followed_stays_with_a_reason(theirs, expression, why):
    value, reason = resolved(theirs, expression, missing="???")
    assert value == expression and why in reason


def test_overrides_are_of_their_keys(theirs):
    source = theirs.source(theirs.minimal(), "system.prompt_processor.prompt=a red chair", "trainer.max_steps=7")
    assert source.get("system.prompt_processor.prompt") == "a red chair"
    assert source.get("trainer.max_steps") == 7


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"a": 1}, "is no threestudio recipe: it has no system_type and no system.geometry_type or the like, but a."),
        ({}, "but nothing"),
        ({"system": {"geometry": {"type": "hash-grid"}}}, "is a recipe of this project already"),
        ({"system_type": "dreamfusion-system"}, "only a part of a recipe"),
        ([1, 2], "must hold a mapping"),
    ],
)
def test_what_is_no_recipe_of_theirs_is_refused(theirs, values, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        read(theirs.file(values))
