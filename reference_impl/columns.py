"""What a report changes in its task's record, and the entry that the audit trail gets: columns and values, no I/O."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from reference_impl.lifecycle import (
    Cancelled,
    Decision,
    DeliveryLost,
    Event,
    Failed,
    HandedBack,
    Ignored,
    NotPublished,
    Progressed,
    Published,
    Received,
    RedeliveryOverdue,
    Refusal,
    Requeued,
    Retrying,
    Revoked,
    Started,
    Status,
    Succeeded,
    Transition,
    Unchanged,
    WorkerLost,
    attempt_of,
)
from reference_impl.reports import Report

AWAITING_REDELIVERY = "awaiting redelivery"


def columns(report: Report, decision: Decision, row: Any, at: datetime) -> tuple[dict[str, Any], str | None]:
    """The columns that change, and a remark when a time had to be clamped to keep their order.

    `row` has the record's columns as they are; `at` is the database's time of the event.
    """
    match decision:
        case Refusal():
            return {}, None
        case Unchanged():
            return _completed(report, row, at)
        case Transition(to=to):
            values = {"status": to, "detail": report.reason, "reason": report.reason} | _missing(report, row)
            if row.completed_at is not None:
                values |= dict.fromkeys(("completed_at", "error_type", "error_message", "error_traceback", "ended_by"))
            match to:
                case Status.PENDING:
                    return values | _queued_again(report, at), None
                case Status.STARTED:
                    published, remark = _published_by(at, row.queued_at)
                    return values | _start(report, row, at) | published, remark
                case Status.RETRY:
                    awaiting = isinstance(report.event, WorkerLost | Cancelled)
                    return values | {
                        "detail": AWAITING_REDELIVERY if awaiting else "waiting for its retry",
                        "eta": at + timedelta(seconds=report.awaits_s) if report.awaits_s else report.eta,
                        "error_type": report.error_type,
                        "error_message": report.error_message,
                    }, None
                case Status.SUCCESS | Status.FAILURE | Status.REVOKED:
                    known = {"queued_at": row.queued_at, "started_at": row.started_at}
                    completed_at, remark = _not_before(at, "completed_at", **known)
                    return values | _end(report, completed_at), remark


def _completed(report: Report, row: Any, at: datetime) -> tuple[dict[str, Any], str | None]:
    """What is known now besides the status, which stays."""
    match report.event:
        case Published():
            return _late_publication(report, row, at)
        case Progressed() if report.agent is not None:
            return {"agent": report.agent.name, "progressed_at": at}, None
        case Progressed():
            return {"progress": report.progress, "progressed_at": at}, None
        case _:
            return {"error_type": report.error_type, "error_message": report.error_message}, None


def _queued_again(report: Report, at: datetime) -> dict[str, Any]:
    match report.event:
        case HandedBack():
            return {"detail": "handed back"}
        case Requeued(by_hand=by_hand):
            return {"detail": "requeued"} | ({"queued_at": at} if by_hand else {})
        case _:
            return {"detail": "queued", "queued_at": at, "eta": report.eta}


def _late_publication(report: Report, row: Any, at: datetime) -> tuple[dict[str, Any], str | None]:
    """A publication that is written after the worker's own reports fills in what only it knows."""
    if row.queued_at is not None:
        return {}, None
    queued_at = min(at, row.started_at) if row.started_at else at
    return _missing(report, row) | {"queued_at": queued_at}, None


def _missing(report: Report, row: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"queue": report.queue} if report.queue else {}
    if row.task_name is None and report.task_name is not None:
        values["task_name"] = report.task_name
    if row.owner is None and report.owner is not None:
        values["owner"] = report.owner
    if row.args is None and report.arguments is not None:
        values["args"], values["kwargs"] = report.arguments()
    return values


def _start(report: Report, row: Any, started_at: datetime) -> dict[str, Any]:
    assert isinstance(report.event, Started)
    return {
        "worker_id": report.worker_id,
        "worker_pid": report.worker_pid,
        "incarnation_id": report.event.owner.incarnation_id,
        "attempt_id": report.event.owner.attempt_id,
        "attempts": row.attempts + 1,
        "eta": None,
        "started_at": started_at,
        "last_heartbeat": started_at,
        "progress": None,
        "progressed_at": None,
    }


def _end(report: Report, completed_at: datetime) -> dict[str, Any]:
    return {
        "completed_at": completed_at,
        "eta": None,
        "result": report.result,
        "error_type": report.error_type,
        "error_message": report.error_message,
        "error_traceback": report.error_traceback,
        "ended_by": report.who,
    }


def _published_by(started_at: datetime, queued_at: datetime | None) -> tuple[dict[str, Any], str | None]:
    """What is told late may seem later than it was, and never earlier: so of the two a late publication is wrong."""
    if queued_at is None or queued_at <= started_at:
        return {}, None
    at = started_at.isoformat()
    return {"queued_at": started_at}, f"queued_at was {queued_at.isoformat()}, after started_at; moved to {at}"


def _not_before(at: datetime, name: str, **earlier: datetime | None) -> tuple[datetime, str | None]:
    floor = max((moment for moment in earlier.values() if moment is not None), default=at)
    if at >= floor:
        return at, None
    return floor, f"{name} was {at.isoformat()}, before {' and '.join(earlier)}; moved to {floor.isoformat()}"


def entry(
    report: Report,
    decision: Transition | Refusal,
    before: Status | None,
    at: datetime,
    remark: str | None,
) -> dict[str, Any]:
    """The columns of the audit entry that tells of it."""
    refused = isinstance(decision, Refusal)
    said = decision.why if isinstance(decision, Refusal) else decision.note
    return {
        "task_id": report.task_id,
        "attempt_id": attempt_of(report.event),
        "from_status": before,
        "to_status": _wanted(report.event) if isinstance(decision, Refusal) else decision.to,
        "refused": refused,
        "at": at,
        "who": report.who,
        "why": "; ".join(part for part in (report.why, said, remark) if part),
    }


def _wanted(event: Event) -> Status:
    match event:
        case Published() | Received() | HandedBack() | Requeued():
            return Status.PENDING
        case Started() | Progressed():
            return Status.STARTED
        case Succeeded() | Ignored():
            return Status.SUCCESS
        case Failed() | NotPublished() | DeliveryLost():
            return Status.FAILURE
        case Retrying() | Cancelled(redeliver=True) | WorkerLost(redeliver=True):
            return Status.RETRY
        case Revoked() | Cancelled() | WorkerLost() | RedeliveryOverdue():
            return Status.REVOKED
