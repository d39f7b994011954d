"""The proxy in front of the real Redis-compatible server: each mode does to bytes what it says, and counts it."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest

from harness import Mode
from harness._processes import await_until
from harness._proxy import Proxy, Tally
from harness._servers import LOOPBACK, Servers, open_redis

PING = b"PING\r\n"
PONG = b"+PONG\r\n"
PROMPT_S = 5.0


@pytest.fixture
def proxy(servers: Servers) -> Iterator[Proxy]:
    """A proxy in front of the shared server."""
    made = Proxy("test to Redis", servers.redis)
    yield made
    made.close()


@pytest.fixture
def connect(proxy: Proxy) -> Iterator[Callable[[], socket.socket]]:
    """Opens connections through the proxy."""
    with ExitStack() as opened:

        def one() -> socket.socket:
            link = opened.enter_context(closing(socket.create_connection((LOOPBACK, proxy.port), timeout=PROMPT_S)))
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return link

        yield one


def ping(link: socket.socket) -> bytes:
    """One request and its answer."""
    link.sendall(PING)
    return heard(link)


def heard(link: socket.socket) -> bytes:
    """What arrives next; empty at the end of the connection."""
    return link.recv(1024)


def silent(link: socket.socket, for_s: float = 0.2) -> bool:
    """Whether nothing arrives for a while, the connection being open."""
    link.settimeout(for_s)
    try:
        link.recv(1024, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        link.settimeout(PROMPT_S)
    return False


def test_bytes_pass_in_both_directions(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    """Without a fault the client is answered, and passed bytes are counted in both directions."""
    answer = ping(connect())

    assert answer == PONG
    assert proxy.tally == Tally(connections=1, bytes_passed=len(PING) + len(PONG))


def test_a_large_answer_passes_whole(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    """An answer of many chunks arrives byte for byte."""
    link = connect()
    text = b"x" * 1_000_000
    link.sendall(b"*2\r\n$4\r\nECHO\r\n$%d\r\n%s\r\n" % (len(text), text))

    wanted = len(b"$1000000\r\n") + len(text) + len(b"\r\n")
    answer = b""
    while len(answer) < wanted:
        answer += heard(link)

    assert answer == b"$1000000\r\n" + text + b"\r\n"


def test_a_delay_holds_each_chunk_for_its_time(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    """A delayed request takes the delay twice, once each way, and its bytes are counted."""
    link = connect()
    ping(link)
    proxy.set(Mode.DELAY, delay_s=0.1)

    began = time.monotonic()
    answer = ping(link)
    took = time.monotonic() - began

    assert answer == PONG
    assert took >= 0.2
    assert proxy.tally.bytes_delayed == len(PING) + len(PONG)


def test_held_bytes_are_delivered_when_the_fault_heals(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    """Held bytes go nowhere until the mode is passing again, and then arrive in order and whole."""
    link = connect()
    ping(link)
    proxy.set(Mode.HOLD)

    link.sendall(PING + PING)
    await_until("the held bytes", lambda: proxy.tally.bytes_held == 2 * len(PING), PROMPT_S)
    quiet = silent(link)
    proxy.set(Mode.PASS)
    answer = b""
    while len(answer) < 2 * len(PONG):
        answer += heard(link)

    assert quiet
    assert answer == PONG + PONG


def test_a_connection_made_while_bytes_are_held_is_held_too(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    """A new client connects and waits for its answer until the fault heals."""
    proxy.set(Mode.HOLD)
    link = connect()
    link.sendall(PING)
    await_until("the held bytes", lambda: proxy.tally.bytes_held > 0, PROMPT_S)

    proxy.set(Mode.PASS)

    assert heard(link) == PONG


def test_the_answer_to_one_question_is_held_and_no_other(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    """What answers the question that is named waits to be let go; other connections, and later questions, pass."""
    asked, other = connect(), connect()
    proxy.hold_answer("PING")

    asked.sendall(PING)
    await_until("the answer that is held", lambda: proxy.answers_held == 1, PROMPT_S)
    quiet = silent(asked)
    meanwhile = ping(other)
    proxy.let_go()

    assert quiet
    assert meanwhile == PONG
    assert heard(asked) == PONG
    assert ping(asked) == PONG


def test_refusing_drops_the_present_and_refuses_the_next(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    """Refusing ends present connections in order and new ones with ECONNREFUSED."""
    link = connect()
    ping(link)

    proxy.set(Mode.REFUSE)

    assert heard(link) == b""
    assert not proxy.accepts
    assert proxy.tally.connections_dropped > 0
    with pytest.raises(ConnectionRefusedError):
        connect()


def test_after_refusing_the_same_port_serves_again(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    """Healed, the proxy listens on the port it had."""
    port = proxy.port
    ping(connect())
    proxy.set(Mode.REFUSE)

    proxy.set(Mode.PASS)

    assert proxy.port == port
    assert proxy.accepts
    assert ping(connect()) == PONG


def test_refusing_twice_is_refusing(proxy: Proxy) -> None:
    """The same mode again changes nothing but the tally."""
    proxy.set(Mode.REFUSE)
    proxy.set(Mode.REFUSE)

    assert not proxy.accepts
    assert proxy.mode is Mode.REFUSE


def test_a_reset_is_seen_as_a_reset(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    """Resetting ends present connections with RST, and accepts no new ones."""
    link = connect()
    ping(link)

    proxy.set(Mode.RESET)

    with pytest.raises(ConnectionResetError):
        heard(link)
    assert not proxy.accepts
    assert proxy.tally.connections_dropped > 0


def test_a_swallowed_answer_never_comes_although_the_server_acted(
    proxy: Proxy, connect: Callable[[], socket.socket], servers: Servers
) -> None:
    """The request reaches the server, its answer is swallowed and counted, and healing does not bring it back."""
    link = connect()
    ping(link)
    proxy.set(Mode.SWALLOW)

    link.sendall(b"SET swallowed yes\r\n")
    await_until("the swallowed answer", lambda: proxy.tally.bytes_swallowed == len(b"+OK\r\n"), PROMPT_S)
    quiet = silent(link)
    proxy.set(Mode.PASS)

    assert quiet
    with closing(open_redis(servers.redis)) as client:
        assert client.get("swallowed") == "yes"
    assert ping(link) == PONG


def test_an_answer_is_cut_in_the_middle_once(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    """Half of the next answer arrives, then the end of the connection; the one after is whole again."""
    link = connect()
    ping(link)
    proxy.set(Mode.CUT)

    half = ping(link)
    end = heard(link)

    assert half == PONG[: len(PONG) // 2]
    assert end == b""
    assert proxy.tally.cuts == 1
    assert proxy.mode is Mode.PASS
    assert ping(connect()) == PONG


def test_the_tally_starts_again_with_each_mode(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    """What happened before a fault is no evidence of it."""
    ping(connect())

    proxy.set(Mode.HOLD)

    assert proxy.tally == Tally()


def test_a_server_that_is_away_ends_the_connection(servers: Servers) -> None:
    """Where nobody listens behind the proxy, the client's connection ends at once."""
    with ExitStack() as opened:
        unheard = opened.enter_context(closing(socket.socket()))
        unheard.bind((LOOPBACK, 0))
        proxy = opened.enter_context(closing(Proxy("to nobody", unheard.getsockname()[1])))
        link = opened.enter_context(closing(socket.create_connection((LOOPBACK, proxy.port), timeout=PROMPT_S)))
        try:
            got = heard(link)
        except ConnectionResetError:
            got = b""

    assert got == b""


def test_a_client_that_vanishes_leaves_the_others_alone(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    """A client that resets its connection disturbs no other."""
    steady, passing = connect(), connect()
    ping(steady)
    ping(passing)
    passing.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    passing.close()

    assert ping(steady) == PONG


def test_many_clients_are_served_at_once(proxy: Proxy, connect: Callable[[], socket.socket]) -> None:
    """Twenty connections are answered side by side, and all are counted."""
    links = [connect() for _ in range(20)]

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ping, links))

    assert answers == [PONG] * 20
    assert proxy.tally.connections == 20


def test_closing_ends_everything_and_is_safe_twice(servers: Servers) -> None:
    """A closed proxy has dropped its connections and listens no more; closing again is no error."""
    proxy = Proxy("closed", servers.redis)
    with closing(socket.create_connection((LOOPBACK, proxy.port), timeout=PROMPT_S)) as link:
        ping(link)

        proxy.close()
        proxy.close()

        with pytest.raises(ConnectionResetError):
            heard(link)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, proxy.port), timeout=PROMPT_S)
