"""RESULT-12: who waits is told over a socket; and just the same where that is refused, breaks off, or stays silent."""

from collections.abc import Callable

import pytest

from harness import Api, Cluster, Middlebox, Sockets, Task, kill, waiting_told

SOON_S = 10.0
"""A socket that says nothing is given some seconds before it is given up."""
BACK_S = 45.0
"""Nobody ends the connections of a container that dies: a request that is held is given up after 30 s."""


def waited_for(cluster: Cluster, sockets: Sockets) -> tuple[Api, Task, Middlebox, Callable[[], object]]:
    """A task that is held, and a command that waits for it through something that treats sockets so."""
    api = cluster.api()
    cluster.worker("a")
    task = cluster.hold("a")
    box, beyond = api.behind(sockets)
    return api, task, box, beyond.begin_command("wait", task)


@pytest.mark.promise("RESULT-12")
@pytest.mark.parametrize("sockets", [*Sockets])
def test_whatever_becomes_of_the_socket(cluster: Cluster, sockets: Sockets) -> None:
    """A command waits through something that treats sockets so; the task returns, and the command tells it."""
    _, task, box, finish = waited_for(cluster, sockets)
    cluster.await_seen("a socket", lambda: box.passed.sockets or None)
    if sockets is not Sockets.PASS:
        cluster.await_seen("a request", lambda: box.passed.requests or box.passed.held_back or None)

    task.release()
    cluster.await_end(task)
    finish()
    cluster.note("middlebox", **vars(box.passed))

    hindered = {Sockets.DROP: ["held_back"], Sockets.SILENCE: ["held_back"], Sockets.REFUSE: ["requests"]}
    cluster.judge(waiting_told(task.id, within_s=SOON_S, by="wait", hindered=["sockets", *hindered.get(sockets, [])]))


@pytest.mark.promise("RESULT-12")
@pytest.mark.parametrize("sockets", [Sockets.PASS, Sockets.REFUSE])
def test_the_api_dies(cluster: Cluster, sockets: Sockets) -> None:
    """The API is killed while a command waits, the task returns meanwhile, and another API takes its place."""
    api, task, box, finish = waited_for(cluster, sockets)
    cluster.await_seen("the wait", lambda: box.passed.messages or box.passed.requests or None)

    cluster.inject(kill(api.process))
    task.release()
    cluster.await_end(task)
    box.target = cluster.api("again", like=api).place.url
    finish()

    cluster.judge(waiting_told(task.id, within_s=BACK_S, by="wait"))
