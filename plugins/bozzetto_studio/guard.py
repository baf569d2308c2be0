"""Decides which requests are answered: not those of strangers, and none that a page of another site has made.

A browser of this machine is let in by its address alone, if the page that it shows is this one. With a token a browser
has to know it: `/?token=...` is answered by a cookie. Forms carry a secret of their own, which other pages cannot read.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered."""

    status: int
    text: str


@dataclass(frozen=True)
class Guard:
    """What a browser has to know.

    Args:
        token: of the address; empty: only this machine's own page is let in.
    """

    token: str
    form_secret: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    """What every form of this process carries."""

    def refusal(self, host: str, origin: str | None, cookie: str) -> Refusal | None:
        """Return why a request is refused; None: it is answered.

        Args:
            host: header `Host`, by which the browser has found this machine.
            origin: header `Origin`; None: there is none.
            cookie: what the browser has kept of the token.
        """
        if origin is not None and (origin == "null" or urlsplit(origin).netloc != host):
            return Refusal(403, "This page can be used from its own address only.")
        if not self.token:
            local = name_of(host) in LOCAL
            return None if local else Refusal(403, "Open this page as http://localhost.")
        if same(cookie, self.token):
            return None
        return Refusal(401, "Open the address that the command has printed, with its token.")

    def refused_form(self, secret: str) -> Refusal | None:
        """Return why a form is refused; None: it is one of this process."""
        if same(secret, self.form_secret):
            return None
        return Refusal(403, "This page is older than the studio, which was started again. Go back, and reload it.")


def name_of(host: str) -> str:
    """Return the name in a header `Host`, in lower case and without a port; empty if it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def same(one: str, other: str) -> bool:
    """Return whether two secrets are the same, in a time that tells nothing of them."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))
