"""OPS-07: of each error the one line is shown that tells most."""

import pytest

from harness import Cluster, Stored, lines_true

SECRET = "hunter2hunter2"  # noqa: S105 - of this scenario
TRACEBACK = """Traceback (most recent call last):
  File "shop.py", line 3, in sell
    raise OutOfStock(item)
shop.OutOfStock: no more teapots
"""
CHAINED = f"""Traceback (most recent call last):
  File "disk.py", line 1, in read
OSError: [Errno 5] first of two

During handling of the above exception, another exception occurred:

{TRACEBACK}"""
SEVERAL_LINES = """Traceback (most recent call last):
  File "form.py", line 1, in read
form.Invalid: 1 problem
name
  is missing
"""
FAILURES = {
    "form.Invalid: 1 problem": SEVERAL_LINES,
    "ValueError: out of range": {"exc_type": "ValueError", "exc_message": ["out of range"], "exc_module": "builtins"},
    "the disk is full": {"error": "the disk is full", "free": 0},
    "no way out": "no way out\nsecond line\nthird line",
    "shop.OutOfStock: no more teapots": TRACEBACK,
    "TaskError: shop.OutOfStock: no more teapots": {"exc_type": "TaskError", "exc_message": CHAINED},
    "cannot reach redis://:***@host/0": f"cannot reach redis://:{SECRET}@host/0",
    "refused: password=***": f"refused: password={SECRET}",
    f"{'x' * 197}...": "x" * 5000,
}


@pytest.mark.promise("OPS-07")
def test_errors_of_all_kinds(cluster: Cluster) -> None:
    """Exceptions, dictionaries, text, tracebacks, secrets and endless messages, stored; and two raised by tasks."""
    api = cluster.api()
    cluster.worker("a")
    stored = {line: Stored("FAILURE", result) for line, result in FAILURES.items()}
    cluster.store([*stored.values()])
    raised = {
        line: cluster.publish("fail", message, queue="a")
        for line, message in (
            ("ValueError: first", "first\nsecond"),
            ("ValueError: token=***", f"token={SECRET}"),
        )
    }
    for task in raised.values():
        cluster.await_end(task, "FAILURE")

    api.await_sitrep(lambda told: told["remarks"]["unread"] == 0)

    expected = {entry.task_id: {"error_message": line} for line, entry in stored.items()}
    expected |= {task.id: {"error_message": line} for line, task in raised.items()}
    cluster.judge(lines_true(expected, leaks=[SECRET]))
