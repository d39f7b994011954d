"""The API from Python: statuses and results, or one exception for each reason why there is none.

Whoever waits is told of each change over a WebSocket. Where that is refused, breaks off or stays silent, the client
asks instead: the API holds an answer back for as long as it may, and where it does not, the client asks again and
again, the seldomer the longer it has waited. Either way the answer is the same.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, ValidationError
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from reference_impl.analysis.engine import AnalysisRequest
from reference_impl.sitrep_document import Sitrep
from reference_impl.status import ErrorDocument, StatusDocument

Document = TypeVar("Document", bound=BaseModel)

HOLD_S = 20.0
"""How long one request asks the API to wait, in seconds."""
PACE = 0.2
"""Between two requests that were answered at once: this share of the wait so far."""
PACE_S_MIN, PACE_S_MAX = 1.0, 30.0
_ANSWER_S = 10.0
_FIRST_WORD_S = 5.0
"""A socket that works tells at once how the task stands."""
_FROM_A_PROXY = {502, 503, 504}
"""What stands before an API answers so while it is away."""
_GONE_S = 30.0
"""For so long somebody who waits puts up with an API that has answered before and does not now."""


class TrackerError(Exception):
    """The API did not do what was asked; the message is fit for a user."""


class UnreachableError(TrackerError):
    """Nothing answers there, or not what a tracker would; `broke_off` where something had answered before."""

    def __init__(self, message: str, *, broke_off: bool = False) -> None:
        super().__init__(message)
        self.broke_off = broke_off


class NotAllowedError(TrackerError):
    """The token is missing, or none that the API knows."""


class UnknownTaskError(TrackerError):
    """No such task, or none that this token may see."""


class NotReadyError(TrackerError):
    """The task has not ended within the time; `status` is the last that was told."""

    def __init__(self, message: str, status: StatusDocument) -> None:
        super().__init__(message)
        self.status = status


class FailedTaskError(TrackerError):
    """The task failed, or was revoked, and has no result; `error` is the API's account of it."""

    def __init__(self, message: str, error: ErrorDocument) -> None:
        super().__init__(message)
        self.error = error


class ExpiredError(TrackerError):
    """The result was kept until it expired; both times are aware."""

    def __init__(self, message: str, completed_at: datetime | None, expired_at: datetime | None) -> None:
        super().__init__(message)
        self.completed_at, self.expired_at = completed_at, expired_at


class RefusedError(TrackerError):
    """The API refused for another reason; `code` is a program's word for it."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class TrackerClient:
    """One connection pool to an API; use it in a `with` statement, or close it."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=_ANSWER_S, follow_redirects=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def status(self, task_id: str) -> StatusDocument:
        """Raises UnknownTaskError, UnreachableError, NotAllowedError."""
        return _document(self._ask("GET", _path(task_id)))

    def tasks(
        self, *, status: list[str] | None = None, name: str | None = None, limit: int = 50
    ) -> Iterator[StatusDocument]:
        """The newest tasks first, `limit` at most, fetched page by page."""
        cursor = None
        while limit > 0:
            asked = {"status": status, "name": name, "cursor": cursor, "limit": min(limit, 500)}
            told = self._ask("GET", "/tasks", params={k: v for k, v in asked.items() if v is not None}).json()
            yield from (StatusDocument.model_validate(each) for each in told["tasks"])
            cursor = told["next"]
            limit -= len(told["tasks"])
            if cursor is None:
                return

    def sitrep(self, limit: int = 20) -> Sitrep:
        """How many tasks there are of which kind, and which were executed last, `limit` at most of each sort.

        Raises UnreachableError, NotAllowedError, and RefusedError for a token that does not see every task.
        """
        return _told(Sitrep, self._ask("GET", "/scheduler/sitrep", params={"limit": limit}))

    def analyse(self, request: AnalysisRequest) -> str:
        """Begin an analysis; gives its task's id. Raises RefusedError where there are no services, or not these."""
        asked = request.model_dump(mode="json", exclude_none=True)
        return str(self._ask("POST", "/api/analysis/run", json=asked).json()["task_id"])

    def analysis(self, task_id: str) -> dict[str, Any]:
        """The document of an analysis that is over. Raises NotReadyError, FailedTaskError, RefusedError."""
        answer = self._ask("GET", f"/api/analysis/{quote(task_id, safe='')}")
        if answer.status_code == httpx2.codes.ACCEPTED:
            raise _not_ready(_document(answer), 0.0)
        document: dict[str, Any] = answer.json()
        return document

    def wait(self, task_id: str, timeout_s: float = 300.0) -> StatusDocument:
        """The status once the task has ended. Raises NotReadyError after `timeout_s`, and what `status` raises."""
        (last,) = deque(self.follow(task_id, timeout_s), maxlen=1)
        return last

    def follow(self, task_id: str, timeout_s: float = 300.0) -> Iterator[StatusDocument]:
        """Each status that is news, until the task has ended; some may be left out where they follow fast.

        Raises NotReadyError after `timeout_s`, and what `status` raises.
        """
        deadline = time.monotonic() + timeout_s
        answered = False
        for status in self._pushed(task_id, deadline):
            answered = True
            yield status
            if status.ready:
                return
        yield self._asked_for(task_id, deadline, timeout_s, answered=answered)

    def result(self, task_id: str, timeout_s: float = 0.0) -> Any:
        """What the task returned, waiting for up to `timeout_s`.

        Raises NotReadyError, FailedTaskError, ExpiredError, RefusedError where it was never kept, and what `status`
        raises.
        """
        return json.loads(self.result_text(task_id, timeout_s))

    def result_text(self, task_id: str, timeout_s: float = 0.0) -> bytes:
        """The same as the JSON text that it is kept as."""
        if timeout_s > 0:
            self.wait(task_id, timeout_s)
        answer = self._ask("GET", f"{_path(task_id)}/result")
        if answer.status_code == httpx2.codes.ACCEPTED:
            raise _not_ready(_document(answer), timeout_s)
        if answer.status_code == httpx2.codes.SEE_OTHER:
            answer = self._ask("GET", answer.headers["Location"])
        return answer.content

    def cancel(self, task_id: str, *, terminate: bool = False) -> StatusDocument:
        """Raises RefusedError where it has ended, or is executed and `terminate` is off; and what `status` raises."""
        return _document(self._ask("POST", f"{_path(task_id)}/cancel", json={"terminate": terminate}))

    def _pushed(self, task_id: str, deadline: float) -> Iterator[StatusDocument]:
        """What is pushed, for as long as it is; a socket that had told something and breaks off is opened again."""
        url = f"{str(self._http.base_url).rstrip('/')}{_path(task_id)}/monitor".replace("http", "ws", 1)
        headers = {"Authorization": self._http.headers["Authorization"]}
        sequence, told = -1, True
        while told and time.monotonic() < deadline:
            told = False
            with (
                suppress(OSError, WebSocketException, ValueError, KeyError),
                connect(
                    f"{url}?after={sequence}",
                    additional_headers=headers,
                    open_timeout=_FIRST_WORD_S,
                    close_timeout=1,
                    max_size=None,
                    proxy=None,
                ) as socket,
            ):
                for number, status in self._heard(socket, task_id, deadline):
                    sequence, told = number, True
                    yield status

    def _heard(self, socket: ClientConnection, task_id: str, deadline: float) -> Iterator[tuple[int, StatusDocument]]:
        """What comes through a socket. One that is silent although something has changed is left."""
        last, patience_s = None, _FIRST_WORD_S
        while (left := deadline - time.monotonic()) > 0:
            try:
                message = json.loads(socket.recv(timeout=min(left, patience_s)))
            except TimeoutError:
                if last is None or self.status(task_id) != last:
                    return
                continue
            sequence, patience_s = message.pop("sequence"), HOLD_S
            last = StatusDocument.model_validate(message)
            yield sequence, last

    def _asked_for(self, task_id: str, deadline: float, limit_s: float, *, answered: bool) -> StatusDocument:
        """The status once the task has ended; the API holds it back, and where it does not, this asks more seldom.

        One that has `answered` already, over a socket perhaps, may go away for a while.
        """
        began, gone_since = time.monotonic(), None
        while True:
            asked = time.monotonic()
            hold = max(0.0, min(deadline - asked, HOLD_S))
            try:
                answer = self._ask("GET", _path(task_id), params={"wait": f"{hold:.3f}"}, timeout=hold + _ANSWER_S)
            except UnreachableError as error:
                now = time.monotonic()
                gone_since = now if gone_since is None else gone_since  # a request that hangs has no part in it
                if not (answered or error.broke_off) or now - gone_since > _GONE_S or now > deadline:
                    raise
                time.sleep(PACE_S_MIN)  # the pace of looking for an API that is away; _GONE_S bounds it
                continue
            answered, gone_since, heard = True, None, time.monotonic()
            status = _document(answer)
            if status.ready:
                return status
            if heard >= deadline:
                raise _not_ready(status, limit_s)
            if heard - asked < hold / 2:
                pace = min(max(PACE_S_MIN, PACE * (heard - began)), PACE_S_MAX)
                time.sleep(min(pace, deadline - heard))  # the pace of asking, bounded by the deadline

    def _ask(self, method: str, path: str, **given: Any) -> httpx2.Response:
        try:
            answer = self._http.request(method, path, **given)
        except httpx2.InvalidURL as error:
            raise UnreachableError(f"{self._http.base_url} is no URL: {error}") from error
        except httpx2.HTTPError as error:
            said = str(error) or type(error).__name__
            broke_off = not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            raise UnreachableError(f"no answer from {self._http.base_url}: {said}", broke_off=broke_off) from error
        if answer.status_code < httpx2.codes.BAD_REQUEST:
            return answer
        raise _error_of(answer)


def _path(task_id: str) -> str:
    return f"/tasks/{quote(task_id, safe='')}"


def _document(answer: httpx2.Response) -> StatusDocument:
    return _told(StatusDocument, answer)


def _told(kind: type[Document], answer: httpx2.Response) -> Document:
    try:
        return kind.model_validate_json(answer.content)
    except ValidationError as error:
        raise UnreachableError(f"{answer.url} does not answer as a tracker does") from error


def _not_ready(status: StatusDocument, limit_s: float) -> NotReadyError:
    return NotReadyError(f"task {status.task_id} is {status.status} after {limit_s:g} s", status)


def _error_of(answer: httpx2.Response) -> TrackerError:
    try:
        problem = answer.json()
        code, detail = problem["code"], problem["detail"] or problem["title"]
    except (ValueError, KeyError, TypeError):
        said = f"{answer.url} answers {answer.status_code}, and not as a tracker does"
        return UnreachableError(said, broke_off=answer.status_code in _FROM_A_PROXY)
    match answer.status_code:
        case 401:
            return NotAllowedError(detail)
        case 404 if code == "unknown":
            return UnknownTaskError(detail)
        case 409 if "error" in problem:
            return FailedTaskError(detail, ErrorDocument.model_validate(problem["error"]))
        case 410:
            return ExpiredError(detail, _moment(problem.get("completed_at")), _moment(problem.get("expired_at")))
        case 503:
            return UnreachableError(detail, broke_off=True)
        case _:
            return RefusedError(detail, code)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
