"""Tests of the gate: who is let in, and that it leaves nothing open."""

import contextlib
import socket
import threading
import time
import tracemalloc

import pytest

from bozzetto_view.gate import BLOCK, COOKIE, MOST_HEAD, STUCK_S, Gate, head_of

TOKEN = "0123456789abcdef"


class Echo:
    """Server that answers each connection with what it got first."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + connection.recv(65536))


@pytest.fixture
def behind():
    echo = Echo()
    yield echo
    echo.socket.close()


@pytest.fixture
def gate_with(behind):
    opened = []

    def make(token=""):
        gate = Gate(socket.create_server(("127.0.0.1", 0)), behind.socket.getsockname(), token)
        gate.open()
        opened.append(gate)
        return gate

    yield make
    for gate in opened:
        gate.close()


def ask(gate, path="/", **headers):
    given = {"Host": f"localhost:{gate.port}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return raw(gate, f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())


def raw(gate, content):
    with socket.create_connection(("127.0.0.1", gate.port), timeout=20) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while block := connection.recv(65536):
            answer += block
    return answer.decode()


def status(answer):
    return int(answer.split(" ")[1])


def test_this_machines_own_page_is_let_in(gate_with):
    gate = gate_with()
    assert "GET /x HTTP/1.1" in ask(gate, "/x")
    assert status(ask(gate, Origin=f"http://localhost:{gate.port}")) == 200
    assert status(ask(gate, Host=f"[::1]:{gate.port}")) == 200


def test_pages_of_other_sites_are_not(gate_with):
    gate = gate_with()
    assert status(ask(gate, Origin="http://evil.example")) == 403
    assert status(ask(gate, Origin="null")) == 403
    rebound = f"evil.example:{gate.port}"  # a name of another site that leads to this machine
    assert status(ask(gate, Host=rebound, Origin=f"http://{rebound}")) == 403


def test_a_token_opens_the_page_and_becomes_a_cookie(gate_with):
    gate = gate_with(TOKEN)
    assert status(ask(gate)) == 401
    assert status(ask(gate, "/?token=wrong")) == 401
    assert status(ask(gate, Cookie=f"{COOKIE}=wrong")) == 401
    entered = ask(gate, f"/?token={TOKEN}", Host="192.0.2.1:80")
    assert status(entered) == 303 and f"Set-Cookie: {COOKIE}={TOKEN}; HttpOnly; SameSite=Strict" in entered
    assert status(ask(gate, Cookie=f"a=b; {COOKIE}={TOKEN}", Host="192.0.2.1:80")) == 200
    assert status(ask(gate, Cookie=f"{COOKIE}={TOKEN}", Origin="http://evil.example")) == 403


@pytest.mark.parametrize(
    "content", [b"", b"hello\r\n\r\n", b"\xff" * 100, b"GET / SPDY/1\r\n\r\n", b"x" * (MOST_HEAD + 1)]
)
def test_what_is_no_request_is_hung_up_on(gate_with, content):
    gate = gate_with()
    with contextlib.suppress(ConnectionError):  # hung up on before everything was sent
        assert raw(gate, content) == ""
    assert status(ask(gate)) == 200


def test_a_thousand_connections_leave_nothing(gate_with, wait_until):
    gate = gate_with()
    threads = threading.active_count()
    for _ in range(1000):
        assert status(ask(gate)) == 200
    wait_until(lambda: gate.connections == 0, "all are closed")
    assert threading.active_count() == threads


class Flood:
    """Server that sends to each connection without end."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.sent = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                with connection, contextlib.suppress(OSError):
                    while True:
                        self.sent += connection.send(bytes(65536))


@pytest.fixture
def flooded():
    """Return a gate before a server that never ends, that server, and a browser that reads nothing."""
    flood = Flood()
    gate = Gate(socket.create_server(("127.0.0.1", 0)), flood.socket.getsockname())
    gate.open()
    browser = socket.create_connection(("127.0.0.1", gate.port), timeout=20)
    browser.sendall(f"GET / HTTP/1.1\r\nHost: localhost:{gate.port}\r\n\r\n".encode())
    yield gate, flood
    browser.close()
    flood.socket.close()


def settled(flood, wait_until):
    """Wait until the server behind cannot send any more; return the bytes it has sent."""

    def still():
        before = flood.sent
        time.sleep(0.5)
        return before and flood.sent == before

    wait_until(still, "nothing is taken any more")
    return flood.sent


def test_what_a_browser_does_not_read_is_not_gathered_and_the_gate_closes_at_once(flooded, wait_until):
    gate, flood = flooded
    tracemalloc.start()
    settled(flood, wait_until)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert gate.connections == 1 and held < 10 * BLOCK  # the rest is the system's, and bounded by it
    closing = threading.Thread(target=gate.close, daemon=True)
    closing.start()
    closing.join(STUCK_S / 2)
    assert not closing.is_alive()


def test_a_browser_that_never_reads_is_hung_up_on(flooded, wait_until, monkeypatch):
    monkeypatch.setattr("bozzetto_view.gate.STUCK_S", 0.3)
    gate, _ = flooded
    wait_until(lambda: gate.connections == 1, "it is served")
    wait_until(lambda: gate.connections == 0, "it is hung up on")
    gate.close()


def test_a_server_that_is_gone_is_no_error(wait_until):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nowhere = closed.getsockname()
    gate = Gate(socket.create_server(("127.0.0.1", 0)), nowhere)
    gate.open()
    assert ask(gate) == ""
    wait_until(lambda: gate.connections == 0, "closed")
    gate.close()


def test_heads():
    head = head_of(b"GET /a?b=c HTTP/1.1\r\nHost:  x:1 \r\nCOOKIE: a=b:c\r\n\r\n")
    assert head.path == "/a?b=c" and head.headers == {"host": "x:1", "cookie": "a=b:c"}
    with pytest.raises(ValueError):
        head_of(b"hello\r\n\r\n")
