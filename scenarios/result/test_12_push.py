"""RESULT-12: who waits is told over a socket; and just the same where that is refused, breaks off, or stays silent."""

import pytest

from harness import Cluster, Sockets, waiting_told

SOON_S = 10.0
"""A socket that says nothing is given some seconds before it is given up."""


@pytest.mark.promise("RESULT-12")
@pytest.mark.parametrize("sockets", [*Sockets])
def test_whatever_becomes_of_the_socket(cluster: Cluster, sockets: Sockets) -> None:
    """A command waits through something that treats sockets so; the task returns, and the command tells it."""
    api = cluster.api()
    cluster.worker("a")
    task = cluster.hold("a")
    box, beyond = api.behind(sockets)
    finish = beyond.begin_command("wait", task)
    cluster.await_seen("a socket", lambda: box.passed.sockets or None)
    if sockets is not Sockets.PASS:
        cluster.await_seen("a request", lambda: box.passed.requests or box.passed.held_back or None)

    task.release()
    cluster.await_end(task)
    finish()
    cluster.note("middlebox", **vars(box.passed))

    hindered = {Sockets.DROP: ["held_back"], Sockets.SILENCE: ["held_back"], Sockets.REFUSE: ["requests"]}
    cluster.judge(waiting_told(task.id, within_s=SOON_S, by="wait", hindered=["sockets", *hindered.get(sockets, [])]))
