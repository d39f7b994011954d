"""RESULT-02: API, list, command line, client and socket have one vocabulary, and say the same of each task."""

import pytest

from harness import Cluster, surfaces_agree

SURFACES = ("api", "list", "cli", "client", "socket")
LATER_S = 3600.0


@pytest.mark.promise("RESULT-02")
def test_in_every_state(cluster: Cluster) -> None:
    """A task waits, one runs and reports, one waits for its retry, one each has returned, failed and been revoked."""
    api = cluster.api()
    cluster.worker("a", concurrency=2)
    waiting = cluster.publish("ok", queue="nobody")
    running = cluster.publish("report", {"current": 1, "total": 4}, queue="a")
    running.await_mark()
    retried = cluster.publish("retry_once", queue="a", countdown=LATER_S)
    done, failed = cluster.publish("ok", queue="a"), cluster.publish("fail", queue="a")
    revoked = cluster.publish("ok", queue="a", options={"expires": -1})
    for task, status in ((retried, "RETRY"), (done, "SUCCESS"), (failed, "FAILURE"), (revoked, "REVOKED")):
        cluster.await_record(task, {status})
    tasks = [waiting, running, retried, done, failed, revoked]
    for task in tasks:
        api.ask("status", task)
        api.command("get", task)
        api.command("client-status", task)
        reader = api.follow(task)
        api.await_heard(reader, lambda reader: reader.heard)
        api.note_heard(reader)
    api.ask_list()

    cluster.judge(surfaces_agree([task.id for task in tasks], SURFACES))


@pytest.mark.promise("RESULT-02")
def test_as_it_ends(cluster: Cluster) -> None:
    """A task is watched while it returns: what was told as running before is told as finished everywhere."""
    api = cluster.api()
    cluster.worker("a")
    task = cluster.hold("a")
    reader = api.follow(task)
    api.await_heard(reader, lambda reader: reader.last("status") == "STARTED")
    task.release()
    cluster.await_end(task)
    api.await_heard(reader, lambda reader: reader.closed)

    api.ask("status", task)
    api.command("get", task)
    api.note_heard(reader)

    cluster.judge(surfaces_agree([task.id], ("api", "cli", "socket")))
