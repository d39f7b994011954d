"""RESULT-17: who may not is refused and learns nothing, nonsense is refused, and everybody else is served."""

from typing import Any

import pytest

from harness import Cluster, kept_out

SECRET = "the plan of the century"  # noqa: S105 - of this scenario


@pytest.mark.promise("RESULT-17")
def test_tokens_owners_and_nonsense(cluster: Cluster) -> None:
    """No token, wrong ones, another's task, sockets, floods and garbage."""
    api = cluster.api()
    cluster.worker("a")
    assert api.shape.owner_header is not None
    hers = cluster.publish("ok", SECRET, queue="a", options={"headers": {api.shape.owner_header: api.place.owner}})
    his = cluster.publish("ok", SECRET, queue="a", options={"headers": {api.shape.owner_header: "somebody else"}})
    for task in (hers, his):
        cluster.await_end(task)

    def forbidden(what: str, allowed: set[int], **how: Any) -> None:
        answer = api.ask(**how)
        cluster.note("forbidden", what=what, allowed=sorted(allowed), answer=answer)

    for token in (None, "wrong", api.place.token[:-1], f"{api.place.token}x", "x" * 5000):
        for path in ("status", "result", "list"):
            forbidden(f"{path} with the token {token!r:.20}", {400, 401, 431}, asked=path, task=hers, token=token)
        forbidden("cancel", {400, 401, 431}, asked="cancel", task=hers, token=token, method="POST")
    for path in ("status", "result"):
        forbidden(f"another's {path}", {404}, asked=path, task=his, token=api.place.owner_token)
    forbidden("another's cancel", {404}, asked="cancel", task=his, token=api.place.owner_token, method="POST")
    refused = {400, 404, 405, 413, 414, 422, 431}
    for what, path in (
        ("an endless id", "/tasks/" + "x" * 5000),
        ("a NUL", "/tasks/%00"),
        ("no UTF-8", "/tasks/%ff%fe"),
        ("a way out", "/tasks/..%2f..%2fetc%2fpasswd"),
        ("an endless path", "/" + "x" * 12_000),
    ):
        forbidden(what, refused, asked=path)
    for name, value in (("limit", "-1"), ("limit", "many"), ("cursor", "x" * 100), ("status", "LOST"), ("wait", "inf")):
        path = "list" if name != "wait" else "status"
        forbidden(f"{name}={value:.10}", refused, asked=path, task=hers, query={name: value})
    forbidden("a flood", {413}, asked="cancel", task=hers, method="POST", body=b"x" * 10_000_000)
    forbidden("garbage", refused, asked="cancel", task=hers, method="POST", body=b"\x00\xff{")
    sockets = [api.follow(task, token=token) for task in (hers, None) for token in (None, "wrong")]
    for reader in sockets:
        api.await_heard(reader, lambda reader: reader.refused or reader.closed or reader.opened)
    api.note_heard(*sockets)
    for task in (hers, his):
        api.ask("result", task)

    cluster.judge(kept_out(leaks=[SECRET, "conformance.ok"], well={hers.id: SECRET, his.id: SECRET}))


@pytest.mark.promise("RESULT-17")
def test_garbage_through_a_socket(cluster: Cluster) -> None:
    """One reader says nonsense until it is let go; the others go on, and nobody hears of another's task."""
    api = cluster.api()
    cluster.worker("a")
    assert api.shape.owner_header is not None
    header = {"headers": {api.shape.owner_header: "somebody else"}}
    task = cluster.publish("ok", SECRET, queue="a", options=header)
    cluster.await_end(task)
    curious = api.follow(token=api.place.owner_token)
    api.await_heard(curious, lambda reader: reader.opened)
    api.say(curious, f'{{"type": "subscribe_task", "task_id": "{task.id}"}}')
    api.await_heard(curious, lambda reader: reader.heard)
    for text in ("", "{", "[]", '{"type": 1}', "x" * 1000, b"\x00\xff"):
        api.say(curious, text)
    api.await_heard(curious, lambda reader: len(reader.heard) > 4 or reader.closed)
    said = [heard.message for heard in curious.heard]
    answer = {"status": 404 if all(each and each.get("type") == "error" for each in said) else 200, "body": str(said)}
    cluster.note("forbidden", what="a subscription to another's task", allowed=[404], answer=answer)
    api.ask("result", task)

    cluster.judge(kept_out(leaks=[SECRET, "conformance.ok"], well={task.id: SECRET}))
