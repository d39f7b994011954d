"""The surfaces on which a subject tells of tasks: its API, the sockets on which it pushes, and commands that ask it.

They are asked as anybody's program asks, with or without a token, and what they answer goes into the history.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness._api import Asked, answer_to, status_fields
from harness._client import Links
from harness._command import CommandRun
from harness._errors import NeverCame
from harness._faults import Evidence, Fault, once
from harness._followers import Clog, Follower, Followers
from harness._history import Kind
from harness._metrics import picked, scraped
from harness._middlebox import Middlebox, Sockets
from harness._processes import Process
from harness._proxy import Proxy
from harness._sitrep import SitrepShape, page_of, sitrep_of
from harness._sockets import unsent_to
from harness._subject import ApiPlace, ApiShape
from harness._timing import STARTUP_S

if TYPE_CHECKING:
    from harness._cluster import Cluster, Task

FULL = "full"
"""The token that may see everything."""


@dataclass
class Api:
    """A process that serves the subject's API, as it is reached at `place`."""

    process: Process
    place: ApiPlace
    cluster: Cluster = field(repr=False)
    followers: Followers = field(repr=False)
    links: Links | None = None

    @property
    def postgres(self) -> Proxy:
        """Its link to Postgres; only an API started `behind_proxy` has one."""
        assert self.links is not None, "start this API behind_proxy=True"
        return self.links.postgres

    @property
    def shape(self) -> ApiShape:
        """The subject's words for what it serves."""
        shape = self.cluster.subject.api
        assert shape is not None, f"{self.cluster.subject.name} has no API"
        return shape

    def ask(self, asked: str, task: Task | None = None, *, token: str | None = FULL, **how: Any) -> dict[str, Any]:
        """Ask for a path by its name in `API_PATHS`, or by itself, and note the answer; gives what is noted.

        `token` is None for none; of `how`: `method`, `query`, `body`, `agent`.
        """
        request = Asked(asked, task.id if task else None, self._token(token), **how)
        value = answer_to(request, self.place, self.shape)
        value["token"] = "none" if token is None else "full" if token == FULL else "another"
        self.cluster.history.append(
            Kind.OBSERVATION, "info", "answer", process=self.process.name, task=request.task_id, value=value
        )
        return value

    def ask_list(self, *, token: str = FULL) -> None:
        """Ask for the list of tasks, and note each of its statuses as an answer about that task."""
        value = self.ask("list", token=token)
        body = value.get("body")
        for item in body.get(self.shape.list_items, []) if isinstance(body, dict) else []:
            self._note("list", value["status"], item, "status")

    def await_answer(
        self, asked: str, task: Task, accept: Callable[[int | None], bool], within_s: float | None = None
    ) -> None:
        """Ask again and again until the status of the answer is accepted; the last answer is noted, whatever it is."""
        request = Asked(asked, task.id, self.place.token)
        with suppress(NeverCame):
            self.cluster.await_seen(
                "an answer", lambda: accept(answer_to(request, self.place, self.shape)["status"]) or None, within_s
            )
        self.ask(asked, task)

    def ask_sitrep(self, *, limit: int = 20, token: str | None = FULL) -> dict[str, Any]:
        """Ask for the operations view, and note it; gives what is noted."""
        request = Asked("sitrep", token=self._token(token), query={"limit": limit})
        return self._note_sitrep(answer_to(request, self.place, self.shape))

    def ask_sitreps(self, count: int, *, at_once: int) -> None:
        """Ask for the operations view so often, so many at a time, and note each answer."""
        request = Asked("sitrep", token=self.place.token)
        with ThreadPoolExecutor(at_once) as pool:
            answers = list(pool.map(lambda _: answer_to(request, self.place, self.shape), range(count)))
        for answer in answers:
            self._note_sitrep(answer)

    def await_sitrep(self, accept: Callable[[dict[str, Any]], object], *, limit: int = 20) -> dict[str, Any]:
        """Ask for the operations view until it is accepted; the last answer is noted, whatever it is."""
        request = Asked("sitrep", token=self.place.token, query={"limit": limit})
        last: dict[str, Any] = {}

        def look() -> bool | None:
            nonlocal last
            last = answer_to(request, self.place, self.shape)
            return bool(accept(sitrep_of(last.get("body"), self.sitrep_shape))) or None

        with suppress(NeverCame):
            self.cluster.await_seen("a sitrep", look, self.cluster.timing.patience_s + STARTUP_S)
        return self._note_sitrep(last)

    def ask_lines(self, **query: Any) -> dict[str, Any]:
        """Ask for a page of the list behind the operations view, and note it; gives what is noted."""
        words = self.sitrep_shape.words
        if "status" in query:
            query["status"] = [words[word] for word in query["status"]]
        asked = answer_to(Asked("lines", token=self.place.token, query=query), self.place, self.shape)
        value = {**asked, "query": query, **page_of(asked.get("body"), self.sitrep_shape)}
        self.cluster.history.append(Kind.OBSERVATION, "info", "lines", process=self.process.name, value=value)
        return value

    def scrape(self, when: str) -> None:
        """Note what it tells Prometheus of its operations view."""
        url = f"{self.place.url}{self.shape.paths['metrics']}"
        text = self.cluster.await_seen("metrics", lambda: scraped(url, self.place.token))
        self.cluster.note("sitrep metrics", when=when, told=picked(text, self.shape.sitrep_metrics))

    @property
    def sitrep_shape(self) -> SitrepShape:
        """The subject's words for its operations view."""
        assert self.shape.sitrep is not None, f"{self.cluster.subject.name} has no operations view"
        return self.shape.sitrep

    def _note_sitrep(self, asked: dict[str, Any]) -> dict[str, Any]:
        value = asked | sitrep_of(asked.get("body"), self.sitrep_shape)
        self.cluster.history.append(Kind.OBSERVATION, "info", "sitrep", process=self.process.name, value=value)
        return value

    def await_health(self, accept: Callable[[dict[str, Any]], object]) -> None:
        """Ask for its health until the answer is accepted, with its `status` and `body`; the last one is noted."""
        request = Asked("health")
        with suppress(NeverCame):
            self.cluster.await_seen(
                "an answer about health", lambda: bool(accept(answer_to(request, self.place, self.shape))) or None
            )
        self.ask("health", token=None)

    def command(self, name: str, task: Task, *, timeout_s: float | None = None) -> CommandRun:
        """Have a command ask about a task, and note what it prints, in the harness's words."""
        return self.begin_command(name, task, timeout_s=timeout_s)()

    def begin_command(
        self, name: str, task: Task, *, timeout_s: float | None = None, haste: float | None = None
    ) -> Callable[[], CommandRun]:
        """Start such a command; what this gives waits for its end. `haste` is that of `Cluster.begin_command`."""
        words = {"task_id": task.id} | ({"timeout_s": f"{timeout_s:g}"} if timeout_s is not None else {})
        began = time.monotonic()
        end = self.cluster.begin_command(name, self.cluster.place(api=self.place), haste=haste, **words)

        def finish() -> CommandRun:
            done = end()
            printed = done.json()
            value = {
                "surface": "client" if name == "client-status" else "cli",
                "asked": name,
                "exit_code": done.exit_code,
                "body": printed,
                "printed": bool(done.output.strip()),
                "errors": done.errors[-2000:],
                "fields": status_fields(printed, self.shape),
                "seconds": time.monotonic() - began,
                "timeout_s": timeout_s,
            }
            self.cluster.history.append(Kind.OBSERVATION, "info", "answer", process="cli", task=task.id, value=value)
            return done

        return finish

    def follow(self, task: Task | None = None, *, token: str | None = FULL, after: int | None = None) -> Follower:
        """Open a socket on which changes of a task are pushed, or of many tasks where none is given.

        What is heard goes into the history by `note_heard`.
        """
        url = self._socket_url(task) + (f"?after={after}" if after is not None else "")
        return self.followers.start(url, self._token(token))

    def clog(self, tasks: Sequence[Task]) -> Fault:
        """Somebody who subscribes to tasks again and again, and takes nothing of what comes."""
        asking = [json.dumps({"type": "subscribe_task", "task_id": task.id}) for task in tasks]

        def unsent(port: int) -> int:
            return sum(unsent_to(member, port) for member in self.process.members()[:1])

        clog = Clog(self._socket_url(None), self.place.token, asking, unsent)

        def landed() -> Evidence | None:
            return {"unsent_bytes": clog.unsent} if clog.unsent else None

        return Fault("clog", self.process.name, clog.open, once(landed), clog.close)

    def say(self, follower: Follower, text: str | bytes) -> None:
        """Send something on the socket of a reader."""
        self.followers.say(follower, text)

    def await_heard(self, follower: Follower, accept: Callable[[Follower], object]) -> None:
        """Wait until a reader has heard what is wanted; that it never comes is for a check to judge."""
        with suppress(NeverCame):
            self.cluster.await_seen("a message", lambda: bool(accept(follower)) or None)

    def note_heard(self, *followers: Follower) -> None:
        """Note what these readers have heard, each message at its moment, and how their sockets ended."""
        for follower in followers:
            for heard in follower.heard:
                when = {"at": heard.at, "wall": heard.wall}
                self._note("socket", 200, heard.message, "status", reader=follower.name, when=when)
            self.cluster.note(
                "socket",
                reader=follower.name,
                opened=follower.opened,
                refused=follower.refused,
                closed=follower.closed,
            )

    def behind(self, sockets: Sockets, *, holds: bool = True) -> tuple[Middlebox, Api]:
        """Something that stands before it from now on, and the API as it is reached through that."""
        box = Middlebox(self.place.url, self.cluster.proxy_host, sockets, holds=holds)
        self.cluster.at_hand(box.close)
        return box, replace(self, place=replace(self.place, url=box.url))

    def _socket_url(self, task: Task | None) -> str:
        path = self.shape.paths["monitor" if task else "monitor-many"].format(task_id=task.id if task else "")
        return self.place.url.replace("http", "ws", 1) + path

    def _token(self, token: str | None) -> str | None:
        return self.place.token if token == FULL else token

    def _note(
        self, surface: str, status: int, body: Any, asked: str, *, when: dict[str, Any] | None = None, **more: Any
    ) -> None:
        fields = status_fields(body, self.shape)
        task_id = fields["task_id"] if fields else None
        value = {"surface": surface, "asked": asked, "status": status, "body": body, "fields": fields, **more}
        self.cluster.history.append(
            Kind.OBSERVATION, "info", "answer", process=surface, task=task_id, value=value, **(when or {})
        )
