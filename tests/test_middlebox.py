"""What stands between a client and an API: what it does to requests and to sockets, and that it counts what it did."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx2
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from harness._followers import Followers
from harness._middlebox import Middlebox, Sockets
from harness._processes import await_until
from harness._servers import LOOPBACK


@pytest.fixture
def beyond() -> Iterator[str]:
    """Where a server says two words to each socket, and waits."""
    loop = asyncio.new_event_loop()
    bound: list[int] = []
    ready = threading.Event()

    async def talk(socket: ServerConnection) -> None:
        for word in ("one", "two"):
            await socket.send(word)
        await socket.wait_closed()

    async def run() -> None:
        async with serve(talk, LOOPBACK, 0) as server:
            bound.append(next(iter(server.sockets)).getsockname()[1])
            ready.set()
            await asyncio.Event().wait()

    def work() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    task = loop.create_task(run())
    thread = threading.Thread(target=work)
    thread.start()
    ready.wait(10)
    yield f"http://{LOOPBACK}:{bound[0]}"
    loop.call_soon_threadsafe(task.cancel)
    thread.join()
    loop.close()


@pytest.fixture
def box(beyond: str) -> Iterator[Callable[[Sockets], Middlebox]]:
    """Makes one before that server."""
    made: list[Middlebox] = []

    def make(sockets: Sockets) -> Middlebox:
        made.append(Middlebox(beyond, LOOPBACK, sockets))
        return made[-1]

    yield make
    for each in made:
        each.close()


def words(url: str) -> list[str]:
    """What a client hears, until it is sent away, or hears nothing more."""
    heard: list[str] = []
    with (
        suppress(ConnectionClosed, TimeoutError),
        connect(url.replace("http", "ws"), proxy=None, close_timeout=1) as socket,
    ):
        while len(heard) < 2:
            heard.append(str(socket.recv(timeout=1)))
    return heard


@pytest.mark.parametrize(
    ("sockets", "heard", "held_back"),
    [(Sockets.PASS, ["one", "two"], False), (Sockets.SILENCE, [], True)],
)
def test_sockets_pass_or_stay_silent(
    box: Callable[[Sockets], Middlebox],
    sockets: Sockets,
    heard: list[str],
    held_back: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """What is kept back is counted."""
    made = box(sockets)

    assert words(made.url) == heard
    assert made.passed.sockets == 1
    assert bool(made.passed.held_back) is held_back


def test_sockets_are_dropped_after_their_first_message(box: Callable[[Sockets], Middlebox]) -> None:
    """The rest does not arrive, unless it came together with it."""
    made = box(Sockets.DROP)

    assert words(made.url) in (["one"], ["one", "two"])
    assert made.passed.held_back == 1


def test_sockets_are_refused(box: Callable[[Sockets], Middlebox]) -> None:
    """With a status that is none of the API's own."""
    made = box(Sockets.REFUSE)

    with pytest.raises(InvalidStatus) as refused:
        words(made.url)
    assert refused.value.response.status_code == 501


def test_one_answer_is_held_and_no_other(box: Callable[[Sockets], Middlebox]) -> None:
    """The answer to a request for the path that is named waits to be let go; later ones pass."""
    made = box(Sockets.PASS)
    made.hold_answer("/tasks/t")
    with ThreadPoolExecutor(1) as pool, httpx2.Client(base_url=made.url, trust_env=False) as client:
        held = pool.submit(httpx2.get, f"{made.url}/tasks/t", trust_env=False, timeout=30)
        await_until("the answer that is held", lambda: made.answers_held == 1, 10)
        others = [client.get(path).status_code for path in ("/tasks/u", "/tasks/t")]
        waiting = not held.done()
        made.let_go()

        assert waiting
        assert [held.result(10).status_code, *others] == [httpx2.codes.UPGRADE_REQUIRED] * 3
        assert made.passed.requests == len(made.passed.moments) == 3


def test_followers_keep_what_they_hear(beyond: str) -> None:
    """Each message with its moment; one that is no JSON is kept as nothing; a place where nobody listens closes."""
    followers = Followers()
    here = followers.start(beyond.replace("http", "ws"), None)
    nowhere = followers.start("ws://127.0.0.1:1", "token")
    deadline = threading.Event()
    while not (len(here.heard) == 2 and nowhere.closed) and not deadline.wait(0.01):
        pass
    followers.close()

    assert [heard.message for heard in here.heard] == [None, None]
    assert here.heard[0].at <= here.heard[1].at
    assert (here.opened, nowhere.opened, nowhere.closed) == (True, False, 1006)
