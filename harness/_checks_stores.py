"""Checks on what a subject says of its own stores: where they disagree, whether they are well, what workers do.

The command `check` prints with `--json` an object with `stale`, a list of `kind`, `task_id`, `agent` and `why`;
`cleaned`, of the same; `stores`, by name whether each could be asked; and with `--status` also `status`, with `agents`,
`open` and `rates`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from harness._executions import executions
from harness._history import Entry, History, Kind
from harness._verdict import Check, Finding, Inquiry

_EXACTLY = 1e-6


def stale_named(*expected: tuple[str, str], of: int = -1) -> Check:
    """A run of `check` that reports JSON, the last one unless `of` tells another, names these, by kind and task.

    Violations: `unfound`, `misnamed` (of another kind), `called-stale` (not expected), `wrong-exit` (0 although
    something is stale, or not although nothing is).
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("stale-named")
        runs = [entry for entry in _runs(history, "check") if isinstance(entry.value["report"], Mapping)]
        if len(runs) < (-of if of < 0 else of + 1):
            inquiry.lacking("a report of the command `check`")
            return inquiry.finding("")
        run = runs[of]
        told = {(each["kind"], each["task_id"]) for each in run.value["report"]["stale"]}
        kinds = {task: kind for kind, task in told}
        kinds_of, wanted_of = _by_task(told), _by_task(expected)
        for kind, task in expected:
            if (kind, task) in told:
                continue
            if task in kinds:
                inquiry.broken("misnamed", f"{task} is {kind}, and is called {kinds[task]}", run)
            else:
                inquiry.broken("unfound", f"{task} is {kind}, and is not found", run)
        for kind, task in sorted(told - set(expected)):
            if task not in {wanted for _, wanted in expected} or (kinds_of[task] & wanted_of[task]):
                inquiry.broken("called-stale", f"{task} is called {kind}", run)
        if run.value["exit_code"] != (1 if expected else 0):
            inquiry.broken("wrong-exit", f"{len(expected)} things are stale, exit code {run.value['exit_code']}", run)
        inquiry.seen()
        return inquiry.finding(f"{len(expected)} things are stale, and named")

    return Check("stale-named", examine)


def reports_agree() -> Check:
    """What `check` tells as text, as JSON and with its status is the same, and as the stores are.

    Compared are runs that follow one another while nothing changes: one with `--json`, one with neither, one with
    `--status` and `--json`, and a look at the agent. Violations: `reports-differ`, `wrong-status`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("reports-agree")
        runs = _runs(history, "check")
        for plain, text, status in zip(runs, runs[1:], runs[2:], strict=False):
            if _flags(plain) == {"--json"} and not _flags(text) and _flags(status) == {"--json", "--status"}:
                _same(inquiry, plain, text, status)
                _status_against(inquiry, history, status)
        if not inquiry.evidence:
            inquiry.lacking("three reports in a row")
        return inquiry.finding("the three reports say the same")

    return Check("reports-agree", examine)


def health_told(api: str, *, well: bool, stale: Collection[str] = (), stores: Mapping[str, bool]) -> Check:
    """What an API says of its health: 200 at first, and whether it is well at last, what is stale, which stores answer.

    `stale` are kinds. Violations: `called-unwell`, `called-well`, `untold`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("health-told")
        told = [e for e in history.observations("answer") if e.value["asked"] == "health" and e.process == api]
        if len(told) < 2:
            inquiry.lacking("two answers about health")
            return inquiry.finding("")
        first, last = told[0], told[-1]
        if first.value["status"] != 200:
            inquiry.broken("called-unwell", f"all is well, and the answer is {first.value['status']}", first)
        if not well and last.value["status"] == 200:
            inquiry.broken("called-well", f"something is wrong ({', '.join(stale)}), and the answer is 200", last)
        if well and last.value["status"] != 200:
            inquiry.broken("called-unwell", f"all is well, and the answer is {last.value['status']}", last)
        body = last.value["body"] or {}
        for kind in stale:
            if kind not in str(body):
                inquiry.broken("untold", f"{kind} is stale, and is not told: {body}", last)
        for store, answers in stores.items():
            if body.get(store) is not answers:
                inquiry.broken(
                    "untold", f"whether {store} answers is {answers}, and is told as {body.get(store)}", last
                )
        inquiry.seen()
        return inquiry.finding("each store is told, and what is stale")

    return Check("health-told", examine)


def monitors_agree(
    *, executing: Sequence[str], stuck: Sequence[str], cleared: Sequence[str], kept: Sequence[str]
) -> Check:
    """What the monitor commands tell is what workers do: these are executed, and these make no progress.

    The last records of the `cleared` tasks are gone, those of the `kept` ones are there. Violations: `untold`,
    `invented`, `not-cleared`, `cleared-in-dry-run`, `cleared-too-much`, `miscounted`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("monitors-agree")
        for command, wanted in (("active-tasks", executing), ("stuck-tasks", stuck)):
            for run in _reports(inquiry, history, command)[-1:]:
                told = {row["task_id"]: row for row in run.value["report"]}
                for task in wanted:
                    if told.get(task, {}).get("executing") is not True:
                        inquiry.broken("untold", f"{task} is executed, and {command} tells {told.get(task)}", run)
                for task in told.keys() - set(wanted):
                    inquiry.broken("invented", f"{command} tells {told[task]}", run)
                inquiry.seen()
        for run in _reports(inquiry, history, "stats")[-1:]:
            running = [each for each in executions(history) if each.lives_at(run.at)]
            if run.value["report"]["open"].get("STARTED", 0) != len(running):
                inquiry.broken(
                    "miscounted", f"{len(running)} tasks run, stats tells {run.value['report']['open']}", run
                )
        _cleared(inquiry, history, cleared, kept)
        return inquiry.finding("the commands tell what workers do")

    return Check("monitors-agree", examine)


def rates_told(succeeded: int, failed: int) -> Check:
    """Status and metrics tell how many tasks succeeded and failed, and both rates, for each window of time.

    All of these ended within the shortest window, of which the metrics tell. Violations: `untold`, `miscounted`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("rates-told")
        runs = [run for run in _runs(history, "check") if "status" in (run.value["report"] or {})]
        scrapes = history.observations("metrics")
        if not runs or not scrapes:
            inquiry.lacking("a status of the command `check`, and a scrape")
            return inquiry.finding("")
        told = scrapes[-1].value["told"]
        recent = {"succeeded": told.get("recent_successes"), "failed": told.get("recent_failures")} | {
            name: told.get(name) for name in ("success_rate", "failure_rate")
        }
        ended = succeeded + failed
        wanted = {
            "succeeded": succeeded,
            "failed": failed,
            "success_rate": succeeded / ended,
            "failure_rate": failed / ended,
        }
        told_by_status = [("the status", runs[-1], window) for window in runs[-1].value["report"]["status"]["rates"]]
        if not told_by_status:
            inquiry.broken("untold", "the status tells no rates", runs[-1])
        for where, entry, window in (*told_by_status, ("the metrics", scrapes[-1], recent)):
            for name, value in wanted.items():
                if window.get(name) is None:
                    inquiry.broken("untold", f"{where} does not tell {name}", entry)
                elif abs(window[name] - value) > _EXACTLY:
                    inquiry.broken("miscounted", f"{name} is {value:g}, and {where} tells {window[name]:g}", entry)
            inquiry.seen()
        return inquiry.finding("rates are told as they are")

    return Check("rates-told", examine)


def _by_task(named: Collection[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for kind, task in named:
        found.setdefault(task, set()).add(kind)
    return found


def _runs(history: History, command: str) -> list[Entry]:
    return [entry for entry in history.select(Kind.OPERATION, command) if entry.type != "invoke"]


def _reports(inquiry: Inquiry, history: History, command: str) -> list[Entry]:
    found = [run for run in _runs(history, command) if run.value["report"] is not None]
    if not found:
        inquiry.lacking(f"a report of {command}")
    return found


def _flags(run: Entry) -> set[str]:
    return set(run.value["flags"])


def _same(inquiry: Inquiry, plain: Entry, text: Entry, status: Entry) -> None:
    stale = [(each["kind"], each["task_id"]) for each in plain.value["report"]["stale"]]
    again = [(each["kind"], each["task_id"]) for each in status.value["report"]["stale"]]
    if sorted(stale) != sorted(again):
        inquiry.broken("reports-differ", f"{stale} are stale as JSON, {again} with the status", plain, status)
    for kind, task in stale:
        if kind not in text.value["text"] or task not in text.value["text"]:
            inquiry.broken("reports-differ", f"{task} is {kind} as JSON, and not in the text", plain, text)
    codes = {run.value["exit_code"] for run in (plain, text, status)}
    if len(codes) > 1:
        inquiry.broken("reports-differ", f"exit codes are {codes}", plain, text, status)
    inquiry.seen()


def _status_against(inquiry: Inquiry, history: History, run: Entry) -> None:
    looks = [entry for entry in history.observations("agent") if entry.at < run.at]
    if not looks:
        inquiry.lacking("a look at the agent before its status")
        return
    agent, row = looks[-1].value["agent"], looks[-1].value["row"]
    told = {each["name"]: each for each in run.value["report"]["status"]["agents"]}.get(agent, {})
    for name in ("is_running", "current_task_id", "current_phase_message"):
        if told.get(name) != row.get(name):
            message = f"{name} of {agent} is {row.get(name)!r}, and told as {told.get(name)!r}"
            inquiry.broken("wrong-status", message, looks[-1], run)
    inquiry.seen()


def _cleared(inquiry: Inquiry, history: History, cleared: Sequence[str], kept: Sequence[str]) -> None:
    runs = _reports(inquiry, history, "clear-old-tasks")
    dry = [run for run in runs if "--dry-run" in run.value["flags"]]
    real = [run for run in runs if "--dry-run" not in run.value["flags"]]
    if not dry or not real:
        inquiry.lacking("a dry run of clear-old-tasks, and a real one")
        return
    for task in cleared:
        records = history.observations("record", task)
        between = [entry for entry in records if dry[-1].at < entry.at < real[-1].at]
        if between and not between[-1].value:
            inquiry.broken("cleared-in-dry-run", f"{task} is gone after a dry run", between[-1])
        if not records or records[-1].value:
            inquiry.broken("not-cleared", f"{task} is still there", *records[-1:])
    for task in kept:
        records = history.observations("record", task)
        if not records[-1].value:
            inquiry.broken("cleared-too-much", f"{task} is gone", records[-1])
    for run, name in ((dry[-1], "found"), (real[-1], "cleared")):
        if run.value["report"][name] != len(cleared):
            message = f"{len(cleared)} tasks are old, {name} is {run.value['report'][name]}"
            inquiry.broken("miscounted", message, run)
    inquiry.seen()
