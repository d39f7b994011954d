"""RESULT-08: a task that goes on while an answer about it is on its way is shown as it is in the end."""

import pytest

from harness import Cluster, Sockets, Task, end_shown_last, hold_answer, results_given

FIRST, SECOND = {"current": 1, "total": 4}, {"current": 3, "total": 4}
SOON_S = 5.0
LONG_S = 60.0


def reporting(cluster: Cluster) -> Task:
    """A task that has said how far it is, and stays there."""
    cluster.worker("a")
    task = cluster.publish("report_twice", FIRST, SECOND, queue="a")
    task.await_mark()
    return task


@pytest.mark.promise("RESULT-08")
@pytest.mark.parametrize("meanwhile", ["it goes on", "it ends"])
def test_a_reader_of_the_socket(cluster: Cluster, meanwhile: str) -> None:
    """The answer of the database to an API that reads a task stays on its way; a reader waits behind the API."""
    api = cluster.api(behind_proxy=True)
    task = reporting(cluster)

    underway = cluster.inject(hold_answer(api.postgres, task.id), await_landing=False)
    reader = api.follow(task)
    cluster.await_landing(underway)
    task.release()
    task.await_mark("later")
    if meanwhile == "it ends":
        task.release("later")
        cluster.await_end(task)
    cluster.watch([task], cluster.timing.heartbeat_s)
    cluster.heal(underway)
    task.release("later")
    cluster.await_end(task)
    api.await_heard(reader, lambda reader: reader.closed)
    api.note_heard(reader)

    cluster.judge(end_shown_last(task.id, within_s=SOON_S))


@pytest.mark.promise("RESULT-08")
def test_whoever_waits_for_an_answer(cluster: Cluster) -> None:
    """The same, and a command waits behind the API, which has no sockets and holds the command's answer back."""
    api = cluster.api(behind_proxy=True)
    task = reporting(cluster)
    _, beyond = api.behind(Sockets.REFUSE)

    underway = cluster.inject(hold_answer(api.postgres, task.id), await_landing=False)
    finish = beyond.begin_command("wait", task)
    cluster.await_landing(underway)
    ended(cluster, task)
    cluster.heal(underway)
    finish()

    cluster.judge(end_shown_last(task.id, within_s=SOON_S))


@pytest.mark.promise("RESULT-08")
@pytest.mark.parametrize("command", ["wait-within", "result-within"])
def test_whoever_asks_again(cluster: Cluster, command: str) -> None:
    """An answer of the API stays on its way to a command that has to ask for news."""
    api = cluster.api()
    task = reporting(cluster)
    box, beyond = api.behind(Sockets.REFUSE, holds=False)

    underway = cluster.inject(hold_answer(box, task.id), await_landing=False)
    finish = beyond.begin_command(command, task, timeout_s=LONG_S)
    cluster.await_landing(underway)
    ended(cluster, task)
    cluster.heal(underway)
    finish()

    shown = results_given({task.id: "reported"}, surfaces=["cli"], asked=command)
    cluster.judge(shown if command == "result-within" else end_shown_last(task.id, within_s=SOON_S))


def ended(cluster: Cluster, task: Task) -> None:
    """Let a task report once more, and return."""
    task.release()
    task.release("later")
    cluster.await_end(task)
