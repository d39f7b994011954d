"""Checks on how a tracker treats its database: sessions, sockets, what it reads, and its schema."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from harness._history import Entry, History, Kind
from harness._verdict import Check, Finding, Inquiry


def reads_only_open(rows: int, *columns: str) -> Check:
    """Between two looks at what the database counts, the registry of `rows` rows was read by an index on `columns`.

    The counters are the executor's own, of every plan that was carried out in between. Violations: `whole-table`
    (it was read from end to end), `no-compound-index`, `closed-rows` (more index entries than open records explain).
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("reads-only-open")
        looks = history.observations("reads")
        if len(looks) < 2:
            inquiry.lacking("what the database counted before and after")
            return inquiry.finding("")
        before, after = looks[0].value, looks[-1].value
        wanted = f"({', '.join(columns)}"
        compound = [name for name in after["indexes"] if wanted in name]
        used = {
            name: {unit: count - before["indexes"][name][unit] for unit, count in after["indexes"][name].items()}
            for name in after["indexes"]
        }
        if after["scans"] > before["scans"]:
            message = (
                f"the table was read from end to end {after['scans'] - before['scans']} times, "
                f"{after['rows'] - before['rows']} rows"
            )
            inquiry.broken("whole-table", message, looks[0], looks[-1])
        if not any(used[name]["scans"] for name in compound):
            message = f"no index that begins with {wanted}) was read; {len(compound)} there are"
            inquiry.broken("no-compound-index", message, looks[-1])
        for name in used:
            if used[name]["entries"] > rows / 100:
                inquiry.broken("closed-rows", f"{used[name]['entries']} entries were read of {name}", looks[-1])
        inquiry.seen()
        return inquiry.finding(f"of {rows} records the open ones were read, by an index on {wanted})")

    return Check("reads-only-open", examine)


def work_went_on(tasks: Sequence[str], before: Sequence[str], longer_s: float) -> Check:
    """Each of these tasks is executed once, and all take little longer than as many took before, from first to last.

    From the first publication to the last return, at most `longer_s` longer. Violations: `held-up`, `not-once`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("work-went-on")
        stretches = []
        for which in (before, tasks):
            begun = [entry for task in which for entry in history.select(Kind.OPERATION, "publish", task=task)]
            ended = {task: history.truth("end", task) for task in which}
            for task, entries in ended.items():
                if len(entries) != 1:
                    message = f"{task} was published once, and executed {len(entries)} times"
                    inquiry.broken("not-once", message, *entries)
            if not begun or not any(ended.values()):
                inquiry.lacking("publications and executions")
                return inquiry.finding("")
            last = max((entry for entries in ended.values() for entry in entries), key=lambda entry: entry.at)
            stretches.append((min(begun, key=lambda entry: entry.at), last))
        usual_s, took_s = (last.at - first.at for first, last in stretches)
        if took_s > usual_s + longer_s:
            message = f"{len(tasks)} tasks took {took_s:.1f} s, as many before took {usual_s:.1f} s"
            inquiry.broken("held-up", message, *stretches[1])
        inquiry.seen()
        return inquiry.finding(f"{len(tasks)} tasks went through in {took_s:.1f} s, as many before in {usual_s:.1f} s")

    return Check("work-went-on", examine)


def failures_told(tasks: Mapping[str, Collection[str]]) -> Check:
    """A task whose tracking failed is named in a WARNING or ERROR of each of its logs. Violation: `silent-failure`."""

    def examine(history: History) -> Finding:
        inquiry = Inquiry("failures-told")
        logs = {entry.value["log"]: entry for entry in history.observations("log")}
        for task, told_by in tasks.items():
            for log in told_by:
                if log not in logs:
                    inquiry.lacking(f"the log {log}")
                elif not any(task in line for line in logs[log].value["lines"]):
                    inquiry.broken("silent-failure", f"no WARNING or ERROR in {log} names {task}", logs[log])
                else:
                    inquiry.seen()
        return inquiry.finding(f"the logs name each of {len(tasks)} tasks whose tracking failed")

    return Check("failures-told", examine)


def schema_kept() -> Check:
    """A migration back and forth lost no row and changed no value that both schemas hold; migrations match the models.

    Looks at the rows come in threes: before, on the older schema, and after. Violations: `row-lost`, `row-changed`,
    `schema-differs`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("schema-kept")
        looks = history.observations("rows")
        compared = [entry for entry in history.select(Kind.OPERATION, "compare") if entry.type != "invoke"]
        if len(looks) != 3 or not compared:
            inquiry.lacking("looks at the rows before, in between and after, and a comparison with the models")
            return inquiry.finding("")
        before, older, after = (look.value["tables"] for look in looks)
        for table, rows in before.items():
            if not rows or not older[table]:
                inquiry.lacking(f"rows of {table} on both schemas")
                continue
            common = set(rows[0]) & set(older[table][0])
            kept = [{name: row[name] for name in common} for row in after[table] or []]
            for row in rows:
                known = {name: row[name] for name in common}
                inquiry.seen()
                if known not in kept:
                    kind = "row-lost" if len(kept) < len(rows) else "row-changed"
                    inquiry.broken(kind, f"{table}: {known} is not there after the migrations", *looks)
        for entry in compared:
            if entry.type != "ok":
                told = entry.value["errors"] or entry.value["report"]
                inquiry.broken("schema-differs", f"the migrations do not make what the models say: {told}", entry)
        return inquiry.finding("migrated back and forth, every row is there, and the schema is the models'")

    return Check("schema-kept", examine)


def connections_apart(*, at_least: int) -> Check:
    """No two processes of a worker hold the same socket to Postgres, and no two executions had the same session.

    Evidence is a look at `at_least` processes that held a socket at once, and as many sessions, of the main process
    and of its children. Violations: `shared-socket`, `shared-session`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("connections-apart")
        looks = history.observations("sockets")
        sessions = history.truth("session")
        for look in looks:
            owners: dict[str, str] = {}
            for pid, sockets in look.value["held"].items():
                for socket in sockets:
                    if socket in owners:
                        message = f"processes {owners[socket]} and {pid} of {look.value['worker']} share {socket}"
                        inquiry.broken("shared-socket", message, look)
                    owners[socket] = pid
        backends: dict[int, Entry] = {}
        for entry in sessions:
            other = backends.setdefault(entry.value["backend"], entry)
            if other.value["pid"] != entry.value["pid"]:
                message = f"processes {other.value['pid']} and {entry.value['pid']} had one session, {entry.value}"
                inquiry.broken("shared-session", message, other, entry)
        holding = max((sum(map(bool, look.value["held"].values())) for look in looks), default=0)
        speaking = {entry.value["pid"] for entry in sessions}
        if holding < at_least or len(speaking) < at_least:
            inquiry.lacking(f"{at_least} processes with a socket each, and a session each")
        inquiry.seen(len(looks))
        return inquiry.finding(f"{holding} processes, each with connections of its own")

    return Check("connections-apart", examine)


def no_leaks(growth_allowed: int = 0) -> Check:
    """After trouble: no idle transaction, no held row lock, no more connections than before.

    Looks at notes `sessions` (before and after) with the counts `idle_in_transaction`, `locks`, `connections`.
    Violations: `idle-in-transaction`, `held-lock`, `connection-growth`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("no-leaks")
        seen = history.observations("sessions")
        if len(seen) < 2:
            inquiry.lacking("a look at the sessions before and after")
            return inquiry.finding("")
        before, after = seen[0].value, seen[-1].value
        if after["idle_in_transaction"]:
            inquiry.broken(
                "idle-in-transaction", f"{after['idle_in_transaction']} sessions are idle in transaction", seen[-1]
            )
        if after["locks"]:
            inquiry.broken("held-lock", f"{after['locks']} row locks are held by nobody's work", seen[-1])
        if after["connections"] > before["connections"] + growth_allowed:
            message = f"{before['connections']} connections became {after['connections']}"
            inquiry.broken("connection-growth", message, seen[0], seen[-1])
        inquiry.seen()
        return inquiry.finding("no session, lock or connection was left behind")

    return Check("no-leaks", examine)
