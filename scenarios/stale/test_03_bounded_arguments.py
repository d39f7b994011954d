"""STALE-03: megabytes of arguments do not become megabytes of registry."""

import pytest

from harness import Cluster, arguments_bounded, outcome_unharmed

SIZE = 5_000_000


@pytest.mark.promise("STALE-03")
@pytest.mark.parametrize("letter", ["x", "\N{EURO SIGN}", "\N{GRINNING FACE}"], ids=["one-byte", "three", "four"])
def test_megabytes_of_arguments(cluster: Cluster, letter: str) -> None:
    """Five megabytes of text, alone and in a structure, are stored truncated, and say how many bytes they were."""
    cluster.worker("a")
    limit = int(cluster.subject.limits["stored_arguments_bytes"])
    kilobyte = letter * (1000 // len(letter.encode()))
    text = cluster.publish("take", kilobyte * (SIZE // 1000), queue="a")
    rows = cluster.publish("take", queue="a", rows=[kilobyte] * (SIZE // 1000))
    size = SIZE // 1000 * len(kilobyte.encode())
    for task in (text, rows):
        cluster.await_end(task)
        cluster.result(task)

    cluster.judge(
        arguments_bounded(text.id, limit, size),
        arguments_bounded(rows.id, limit, size),
        outcome_unharmed({text.id: ("SUCCESS", None), rows.id: ("SUCCESS", None)}),
    )
