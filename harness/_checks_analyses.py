"""Checks on analyses: whether both stores hold the same, the right frame counts, and files are whole and in place.

An observation `analysis` has the `row` of a task (`document` and `metadata`), its visible `files` (`path`, `bytes`,
and the `document`, None where it is not whole), `leftovers`, and what lies `outside` of the results; `told` is what an
API gives of both stores.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from harness._history import Entry, History, Kind
from harness._verdict import Check, Finding, Inquiry

_OK = 200
_SHOWN_BYTES = 65_536
"""Larger answers are not in the history."""
_PLACE = re.compile(r"[^/]+/app\d+/task_[^/]+/[^/]+\.json(\.gz)?")
_NEEDED = ("task_id", "target", "analysis_type", "timestamp", "metadata", "results", "summary")
_RESULTS = ("findings", "tools_used", "tool_results", "raw_outputs", "summary", "success")
_FIGURES = ("total_findings", "services_executed", "tools_executed", "status")
_WRONG = {"summary.status": "wrong-status", "results.findings": "wrong-findings", "invalid": "reasons-untold"}


def stores_agree(task: str, *, metadata: Mapping[str, Any] | None = None, packed: bool | None = None) -> Check:
    """Database and disk hold one document of the analysis, whole and in its place, with this metadata among its own.

    Where an API was asked, it gives the same of both. Violations: `no-row`, `no-file`, `differs`, `incomplete`,
    `metadata-lost`, `misplaced`, `told-otherwise`, `not-packed`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("stores-agree")
        entry = _last(inquiry, history, task)
        if entry is None:
            return inquiry.finding("")
        document = (entry.value["row"] or {}).get("document")
        files = entry.value["files"]
        if document is None:
            inquiry.broken("no-row", f"the database has no document of {task}", entry)
        if len(files) != 1:
            inquiry.broken("no-file", f"there are {len(files)} files of {task}", entry)
        if document is None or not files:
            return inquiry.finding("")
        _compare(inquiry, entry, document, files[0], metadata or {})
        if packed is not None and files[0]["path"].endswith(".gz") is not packed:
            inquiry.broken("not-packed", f"{files[0]['bytes']} bytes are kept as {files[0]['path']}", entry)
        for name, told in (entry.value.get("told") or {}).items():
            too_large = told["document"] is None and (told["size"] or 0) > _SHOWN_BYTES
            if told["status"] != _OK or (told["document"] != document and not too_large):
                inquiry.broken("told-otherwise", f"{name} is answered with {told['status']}, and differs", entry)
        inquiry.seen()
        return inquiry.finding("both stores hold the same")

    return Check("stores-agree", examine)


def not_kept(task: str) -> Check:
    """Neither store holds anything of it, although it has ended. Violation: `kept`."""

    def examine(history: History) -> Finding:
        inquiry = Inquiry("not-kept")
        entry = _last(inquiry, history, task)
        ended = [seen for seen in history.observations("record", task) if seen.value.get("status") == "SUCCESS"]
        if not ended:
            inquiry.lacking(f"the end of {task}")
        if entry is not None and (entry.value["row"] or entry.value["files"]):
            inquiry.broken("kept", f"{task} was not to be kept, and is", entry)
        inquiry.seen()
        return inquiry.finding("nothing was kept")

    return Check("not-kept", examine)


def document_is(task: str, expected: Mapping[str, Any], *, within_s: float | None = None) -> Check:
    """The document in the database has these values, under keys joined with dots; `...` is anything but nothing.

    `within_s` bounds the time from asking to the end. Violations: `no-document`, `wrong-status`, `wrong-findings`,
    `reasons-untold`, `wrong-document`, `late`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("document-is")
        entry = _last(inquiry, history, task)
        if entry is None:
            return inquiry.finding("")
        told = entry.value.get("told")
        document = told["analysis"]["document"] if told else (entry.value["row"] or {}).get("document")
        if document is None:
            inquiry.broken("no-document", f"there is no document of {task}", entry)
            return inquiry.finding("")
        for key, value in expected.items():
            found = _at(document, key)
            inquiry.seen()
            if (value is ... and not found) or (value is not ... and found != value):
                inquiry.broken(_WRONG.get(key, "wrong-document"), f"{key} is {found!r:.200}, not {value!r:.200}", entry)
        if within_s is not None:
            _in_time(inquiry, history, task, within_s)
        return inquiry.finding("the document is as it has to be")

    return Check("document-is", examine)


def files_whole() -> Check:
    """Whenever somebody looked, every file that can be seen was whole; in the end nothing is left of what was not.

    Violations: `half-a-file`, `leftover`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("files-whole")
        looks = history.observations("analysis")
        for entry in looks:
            for file in entry.value["files"]:
                if file["document"] is None:
                    inquiry.broken("half-a-file", f"{file['path']} can be seen, and is not whole", entry)
            inquiry.seen()
        if looks and looks[-1].value["leftovers"]:
            inquiry.broken("leftover", f"{', '.join(looks[-1].value['leftovers'])} was left", looks[-1])
        return inquiry.finding("all files are whole")

    return Check("files-whole", examine)


def nothing_outside() -> Check:
    """Nothing was written outside the results. Violation: `escaped`."""

    def examine(history: History) -> Finding:
        inquiry = Inquiry("nothing-outside")
        for entry in history.observations("analysis"):
            if entry.value["outside"]:
                inquiry.broken("escaped", f"{', '.join(entry.value['outside'][:3])} lies outside the results", entry)
            inquiry.seen()
        return inquiry.finding("nothing lies outside")

    return Check("nothing-outside", examine)


def writes_logged(expected: Mapping[str, Collection[str]]) -> Check:
    """Of each of these tasks a line of some log has all the words given with it.

    Violation: `unlogged`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("writes-logged")
        lines = [line for log in history.observations("log") for line in log.value["lines"]]
        if not lines:
            inquiry.lacking("lines of logs")
        for task, words in expected.items():
            inquiry.seen()
            if not any(task in line and all(word in line for word in words) for line in lines):
                inquiry.broken("unlogged", f"no line about {task} has {', '.join(words)}")
        return inquiry.finding("the log tells of each")

    return Check("writes-logged", examine)


def trouble_survived(task: str) -> Check:
    """While the disk makes trouble the task succeeds, and the database holds its document; later the file is there.

    Violations: `task-failed`, `no-row`, `unsaid`, `never-written`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("trouble-survived")
        looks = history.observations("analysis", task)
        ends = [seen.value["status"] for seen in history.observations("record", task) if seen.value.get("status")]
        if not looks or not ends:
            inquiry.lacking(f"looks at {task} during the trouble and after it")
            return inquiry.finding("")
        if ends[-1] != "SUCCESS":
            inquiry.broken("task-failed", f"{task} ended as {ends[-1]}", looks[-1])
        if not (looks[0].value["row"] or {}).get("document"):
            inquiry.broken("no-row", "the database holds nothing while the disk makes trouble", looks[0])
        if looks[0].value["files"]:
            inquiry.lacking("trouble: its file is there at once")
        lines = [line for log in history.observations("log") for line in log.value["lines"]]
        if not any("WARNING" in line and task in line for line in lines):
            inquiry.broken("unsaid", f"no WARNING speaks of {task}", looks[0])
        if not looks[-1].value["files"]:
            inquiry.broken("never-written", "the trouble is over, and there is no file", looks[-1])
        inquiry.seen()
        return inquiry.finding("it was written later")

    return Check("trouble-survived", examine)


def files_kept(*, kept: Collection[str], removed: Collection[str]) -> Check:
    """In the end these tasks have their files, those have none; all have their documents.

    Violations: `removed-too-early`, `kept-too-long`, `document-lost`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("files-kept")
        for task in (*kept, *removed):
            entry = _last(inquiry, history, task)
            if entry is None:
                continue
            if task in kept and not entry.value["files"]:
                inquiry.broken("removed-too-early", f"the file of {task} is gone", entry)
            if task in removed and entry.value["files"]:
                inquiry.broken("kept-too-long", f"the file of {task} is there", entry)
            if not (entry.value["row"] or {}).get("document"):
                inquiry.broken("document-lost", f"the document of {task} is gone", entry)
            inquiry.seen()
        return inquiry.finding("files go by policy")

    return Check("files-kept", examine)


def persisting_measured(*, writes: int) -> Check:
    """Metrics tell how many files were written, how long that took, how large they are, and how many failed.

    Violations: `unmeasured`, `errors-uncounted`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("persisting-measured")
        scrapes = history.observations("metrics")
        if not scrapes:
            inquiry.lacking("metrics")
            return inquiry.finding("")
        told, last = scrapes[-1].value["told"], scrapes[-1]
        if told["file_writes"] != writes or not told["file_seconds"] or not told["file_bytes"]:
            inquiry.broken("unmeasured", f"{writes} files were written, and metrics tell {told['file_writes']}", last)
        if not told["file_errors"]:
            inquiry.broken("errors-uncounted", "files could not be written, and no error is counted", last)
        inquiry.seen()
        return inquiry.finding("it is measured")

    return Check("persisting-measured", examine)


def _compare(
    inquiry: Inquiry, entry: Entry, document: Mapping[str, Any], file: Mapping[str, Any], metadata: Mapping[str, Any]
) -> None:
    if file["document"] != document:
        inquiry.broken("differs", f"{file['path']} differs from the document in the database", entry)
    if not _PLACE.fullmatch(file["path"]):
        inquiry.broken("misplaced", f"a file lies at {file['path']}", entry)
    for within, names in (("", _NEEDED), ("results", _RESULTS), ("summary", _FIGURES)):
        part = document.get(within, {}) if within else document
        if missing := [name for name in names if name not in part]:
            inquiry.broken("incomplete", f"{within or 'the document'} lacks {', '.join(missing)}", entry)
    for name, value in metadata.items():
        if document.get("metadata", {}).get(name) != value:
            inquiry.broken("metadata-lost", f"metadata was told {name}={value!r}, and has it not", entry)


def _in_time(inquiry: Inquiry, history: History, task: str, within_s: float) -> None:
    begun = [entry for entry in history.select(Kind.OPERATION, type="ok") if (entry.f, entry.task) == ("analyse", task)]
    ended = [
        seen for seen in history.observations("record", task) if seen.value.get("status") in {"SUCCESS", "FAILURE"}
    ]
    if not begun or not ended:
        inquiry.lacking(f"begin and end of {task}")
    elif (took := ended[0].at - begun[0].at) > within_s:
        inquiry.broken("late", f"it took {took:.1f} s of {within_s:g} s", ended[0])


def _last(inquiry: Inquiry, history: History, task: str) -> Entry | None:
    looks = history.observations("analysis", task)
    if not looks:
        inquiry.lacking(f"a look at the analysis {task}")
        return None
    return looks[-1]


def _at(document: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(document, Mapping):
            return None
        document = document.get(part)
    return document
