"""RESULT-11: without sockets, and without answers that are held back, who waits asks the more seldom the longer."""

import pytest

from harness import Cluster, Sockets, pace_kept, waiting_told

TEN_MINUTES_S = 600.0
REQUESTS = 50
HASTE = 100.0
SLACK_S = 5.0
"""For requests on two loaded cores, which take the time that they take; pauses are judged apart from them."""
SOON_S = 5.0


@pytest.mark.promise("RESULT-11")
def test_ten_minutes(cluster: Cluster) -> None:
    """A command waits for a task for ten minutes, of which its pauses pass a hundred times faster."""
    api = cluster.api()
    cluster.worker("a")
    task = cluster.hold("a")
    box, beyond = api.behind(Sockets.REFUSE, holds=False)
    finish = beyond.begin_command("wait-within", task, timeout_s=2 * TEN_MINUTES_S, haste=HASTE)

    cluster.await_seen(
        "ten minutes, or more requests than may be",
        lambda: cluster.left_out_s() >= TEN_MINUTES_S or box.passed.requests > REQUESTS or None,
        cluster.timing.patience_s + TEN_MINUTES_S / HASTE,
    )
    task.release()
    cluster.await_end(task)
    finish()
    cluster.note("middlebox", **vars(box.passed))

    cluster.judge(
        pace_kept(task.id, wait_s=TEN_MINUTES_S, requests=REQUESTS, slack_s=SLACK_S),
        waiting_told(task.id, within_s=SOON_S, by="wait-within", hindered=["sockets"]),
    )
