"""OPS-12: what is stored as a result and is none is skipped, counted and logged; compressed results are read."""

import pytest

from harness import Cluster, Stored, figures_true, lines_true, malformed_told

MALFORMED = (
    Stored(text=b'{"status": "SUCCESS", "resu'),
    Stored(text=b"\x80\x04\x95\x00\xff\xfe"),
    Stored(text=b"17"),
    Stored(text=b'["SUCCESS"]'),
    Stored(text=b"{}"),
    Stored(text=b"null"),
    Stored(listed=True),
)


@pytest.mark.promise("OPS-12")
def test_among_good_ones(cluster: Cluster) -> None:
    """Truncated, binary, of a wrong type or shape, gone by the time it is read; packed, and long."""
    api = cluster.api()
    cluster.worker("a")
    good = [
        Stored(),
        Stored(compressed=True),
        Stored("FAILURE", {"exc_type": "E", "exc_message": ["m"]}, compressed=True),
        Stored(result="x" * 3_000_000),
    ]
    gone = [Stored(gone=True) for _ in range(3)]
    cluster.store([each for trio in zip(good, MALFORMED, gone, strict=False) for each in trio])
    cluster.store([*MALFORMED[3:], good[3]])
    cluster.await_end(cluster.publish("ok", queue="a"))

    api.await_sitrep(lambda told: told["remarks"]["unread"] == 0)
    cluster.note_logs()

    shown = {entry.task_id: {"status": "completed"} for entry in (good[0], good[1], good[3])}
    shown[good[2].task_id] = {"status": "failed", "error_message": "E: m"}
    told = malformed_told(len(MALFORMED), logged=[entry.task_id for entry in MALFORMED])
    cluster.judge(told, figures_true(completed=1 + 3, failed=1), lines_true(shown))
