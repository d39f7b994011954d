"""PERSIST-05: of all frames the right one counts, and what is not the end is never taken for it."""

from typing import Any

import pytest

from harness import Cluster, close, cut, document_is, say, say_for_ever, send, writes_logged

DEADLINE_S = 2.0
PART, END = {"findings": [{"rule": "part"}]}, {"findings": [{"rule": "end"}], "tools_used": ["lint"]}
SECOND = {"findings": [{"rule": "second"}]}
ENDED = {"summary.status": "completed", "results.findings": END["findings"]}
LEFT = {"summary.status": "incomplete", "results.findings": PART["findings"]}
NOTHING = {"summary.status": "failed", "services.static.error": "no_response"}
PROGRESS = say("progress_update", percent=10)
SCRIPTS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "the end after progress": ([PROGRESS, PROGRESS, say("static_analysis_result", analysis=END)], ENDED),
    "the end after a part": ([say("partial", analysis=PART), say("static_analysis_result", analysis=END)], ENDED),
    "the end twice": (
        [say("static_analysis_result", analysis=END), say("static_analysis_result", analysis=SECOND)],
        ENDED,
    ),
    "another task's end first": (
        [
            say("static_analysis_result", analysis=SECOND, task_id="another"),
            say("static_analysis_result", analysis=END),
        ],
        ENDED,
    ),
    "garbage first": (
        [send("{"), send(b"\x00\xff"), send("[]"), send("17"), say("static_analysis_result", analysis=END)],
        ENDED,
    ),
    "two parts and no end": ([say("partial", analysis=PART), say("partial", analysis=SECOND)], LEFT),
    "a part, then cut": ([say("partial", analysis=PART), cut], LEFT),
    "a part among progress without end": ([say("partial", analysis=PART), say_for_ever("progress_update")], LEFT),
    "progress without end": ([say_for_ever("progress_update", percent=1)], NOTHING),
    "closed at once": ([close], NOTHING),
    "silence": ([], NOTHING),
}


@pytest.mark.promise("PERSIST-05")
@pytest.mark.parametrize("script", SCRIPTS)
def test_which_frame_counts(cluster: Cluster, script: str) -> None:
    """A service that answers by this script."""
    steps, expected = SCRIPTS[script]
    analyses = cluster.analyses({"static": steps}, deadline_s=DEADLINE_S)
    worker = cluster.worker("a", queues=["a", analyses.shape.queue], debug=True)
    task = analyses.begin_by_code("shop.example")
    assert task is not None

    cluster.await_record(task, {"SUCCESS", "FAILURE"})
    analyses.await_kept(task)
    cluster.await_log(worker.process, "DEBUG", task.id, "chose")
    cluster.note_logs("DEBUG")

    told = [
        task.id,
        "chose",
        {"completed": "completed", "incomplete": "incomplete", "failed": "error"}[expected["summary.status"]],
    ]
    frames = [] if script in {"closed at once", "silence"} else [writes_logged({task.id: ["DEBUG", "frame 1"]})]
    bound_s = DEADLINE_S + cluster.timing.recovery_bound_s
    cluster.judge(document_is(task.id, expected, within_s=bound_s), writes_logged({task.id: ["DEBUG", *told]}), *frames)
