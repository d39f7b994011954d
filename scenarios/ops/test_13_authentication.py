"""OPS-13: the view is for those whose token sees every task."""

import pytest

from harness import Cluster, kept_out

SECRET = "the plan of the century"  # noqa: S105 - of this scenario


@pytest.mark.promise("OPS-13")
def test_without_and_with_too_small_a_token(cluster: Cluster) -> None:
    """No token, wrong ones, and the token of one owner."""
    api = cluster.api()
    cluster.worker("a")
    task = cluster.publish("ok", SECRET, queue="a")
    cluster.await_end(task)

    for path in ("sitrep", "lines"):
        for token in (None, "wrong", f"{api.place.token}x", api.place.owner_token):
            allowed = [403] if token == api.place.owner_token else [401]
            cluster.note("forbidden", what=path, allowed=allowed, answer=api.ask(path, token=token))
    api.ask("result", task)

    cluster.judge(kept_out(leaks=[SECRET, "conformance.ok", task.id], well={task.id: SECRET}))
