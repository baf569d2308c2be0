"""Wrong values as YAML text, and damage to bytes."""

from __future__ import annotations

import random

NUMBERS = (
    ".nan", ".inf", "-.inf", "nan", "inf", "NaN", "-1", "0", "-0.0", "1", "2", "3", "7", "0.5", "1.5", "-0.5", "1e-320",
    "1e-30", "1e30", "1e308", "-1e308", "1e400", "255", "1000", "65536", "1000000", "-1000000", "1000000000", "2147483647",
    "2147483648", "4294967296", "9223372036854775807", "9223372036854775808", "18446744073709551616",
    "-9223372036854775809", "9" * 400, "9" * 5000, "1_000", "0x7fffffff", "0o17", "1:30", "1e3", "+1", ".5", "1.",
)  # fmt: skip
NAMES = (
    "../../x", "..", ".", "/", "a/b", "a\\b", "{outside}/x", "~", "~/x", "~nobody/x", "x/../../../y", "con", "-", "--help",
    "a b", " x ", "a.b", "a=b", "a:b", "a[0]", "%s%n", "$HOME", "${oc.env:HOME}", "*", "?", "a" * 300, "A", "main", "1",
    "é", "🍔", "‮abc", "e\u0301", "/dev/null", "/dev/zero", "/proc/self/mem", "file:///etc/hosts",
    "http://192.0.2.1/x",
)  # fmt: skip
"""Texts that resemble a path, a name or an option. `{outside}` is replaced by a folder outside the sandbox."""
INTERPOLATIONS = (
    "${oc.env:HOME}", "${oc.env:NONE}", "${prompt}", "${system}", "${.}", "${..}", "${trainer.steps}", "${a.b.c}", "${",
    "${}", "$", "${oc.decode:'[1'}", "${oc.create:{a: 1}}", "${oc.select:x,1}", "${system.geometry}", "\\${prompt}", "${${seed}}",
    "${seed}${seed}", "${oc.deprecated:seed}", "???", "x ${seed} y",
)  # fmt: skip
SHAPES = (
    "null", "~", "''", "[]", "{}", "true", "false", "yes", "[1, 2]", "[1]", "[[[]]]", "[null]", "{a: 1}", "{type: x}",
    "{type: null}", "{type: []}", "{from: 0, to: 1}", "{from: .nan, to: 1, until_step: 5}", "2024-01-01", "[1, 2, 3, 4, 5, 6]",
    "{from: 1, to: 0, start_step: 5, until_step: 2}", "{from: 1e308, to: -1e308, until_step: 9}", "[.nan, .inf]", "[0, 0]",
    "[2, 1]", "{weight: .nan}", "{1: 2}", "{null: 1}", "{[1]: 2}", "{true: false}", "{a.b: 1}", "{'': 1}", "[a, b]",
    "{from: 1, to: 2, until_step: 99999999999999999999}", "!!binary aGVsbG8=", "!!set {a, b}", "!!timestamp 2024-01-01",
)  # fmt: skip
HOSTILE = (
    "!!python/object/apply:os.system ['touch outside']", "!!python/name:os.system", "!tag x", "&a [*a]", "*a", "<<: 1",
    '"\\0"', '"\\ud800"', '"\\x1b[2J\\x1b]0;x\\a"', '"a\\nb\\r\\nc"', '"\\u202e"', '"\\uffff"', "|\n  a\n", "'", '"', "[", "{", "]", "}",
    "@x", "`x", "%x", "# x", "- x", "? x", ": x", ", x", "! x", "x: y: z", "\t", "{a: [}", "--- x", "...", "=", "<<",
)  # fmt: skip
SECRET = ("../secret.yaml", "../secret.png", "../secret.glb", "{outside}/secret.png")
LONG = ("x" * 5_000, "x" * 100_000, "'" + "é" * 50_000 + "'", "[" * 200 + "]" * 200, "[" * 100_000 + "]" * 100_000,
        "{a: " * 300 + "1" + "}" * 300, "[" + "1, " * 20_000 + "1]", "[" * 5_000)  # fmt: skip


def value(source: random.Random, outside: str) -> str:
    """Return a wrong value of any sort, as YAML text."""
    sort = source.choices((NUMBERS, NAMES, INTERPOLATIONS, SHAPES, HOSTILE, SECRET, LONG), (40, 15, 10, 20, 8, 3, 4))[0]
    return source.choice(sort).replace("{outside}", outside)


def name(source: random.Random, outside: str) -> str:
    """Return a text in place of a name, quoted for YAML, or a value that is not a text."""
    if source.random() < 0.3:
        return source.choice(("1", "null", "true", "1.5", "[a]", "''", "2024-01-01", "~", ".nan", "0x10"))
    text = source.choice(NAMES).replace("{outside}", outside)
    return "'" + text.replace("'", "''") + "'"


def near(number: float, source: random.Random) -> str:
    """Return a number some orders of magnitude from a valid one."""
    factor = source.choice((-1, 0, 0.5, 1.5, 2, 10, 100, 1000, 1e5, 1e7, 1e9, -100))
    changed = number * factor
    return str(int(changed)) if isinstance(number, int) else repr(float(changed))


def damage(content: bytes, source: random.Random) -> tuple[bytes, str]:
    """Return bytes with one kind of damage, and its name."""
    if not content:
        return b"\x00", "one byte"
    at = source.randrange(len(content))
    kind = source.choice(
        ("cut", "cut", "flip", "flips", "insert", "delete", "repeat", "zeros", "start", "swap", "grow")
    )
    if kind == "cut":
        return content[:at], f"cut at byte {at}"
    if kind == "flip":
        return content[:at] + bytes([content[at] ^ 1 << source.randrange(8)]) + content[at + 1 :], f"bit of byte {at}"
    if kind == "flips":
        changed = bytearray(content)
        for _ in range(max(1, len(content) // source.choice((20, 100, 1000)))):
            changed[source.randrange(len(changed))] = source.randrange(256)
        return bytes(changed), "many bytes"
    if kind == "insert":
        return content[:at] + source.randbytes(source.choice((1, 4, 100))) + content[at:], f"bytes put in at {at}"
    if kind == "delete":
        return content[:at] + content[at + source.choice((1, 4, 100)) :], f"bytes taken out at {at}"
    if kind == "repeat":
        return content[:at] + content[at : at + 200] * source.choice((2, 50)) + content[at:], f"repeated from {at}"
    if kind == "zeros":
        return content[:at] + bytes(min(64, len(content) - at)) + content[at + 64 :], f"zeros at {at}"
    if kind == "start":
        first = source.choice((b"\xff\xfe", b"\xef\xbb\xbf", b"\x00", b"#!", b"PK\x03\x04", b"\x80\x02"))
        return first + content, f"{first!r} at the start"
    if kind == "swap":
        half = len(content) // 2
        return content[half:] + content[:half], "halves swapped"
    return content + source.randbytes(source.choice((1, 1000))), "bytes put at the end"


def garbage(source: random.Random) -> bytes:
    """Return content of another kind of file."""
    return source.choice(
        (b"", b"{}", b"[]", b"null", b"0", b"\x00" * 100, b"\xff" * 100, b"<html></html>", b"not this", b"{", b'"',
         b"\x80\x04\x95", b"PK\x03\x04", source.randbytes(300), b"[" * 100_000, b'{"a":' * 20_000, b"9" * 6000)
    )  # fmt: skip
