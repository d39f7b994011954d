"""Analyses of a scenario: begun in every way that there is, and looked at in both places that keep them."""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness._api import Asked, answer_to
from harness._errors import NeverCame
from harness._history import Entry, Kind
from harness._subject import AnalysisPlace, AnalysisShape
from harness._surfaces import Api

if TYPE_CHECKING:
    from harness._cluster import Cluster, Task


@dataclass
class Analyses:
    """All of one scenario; files lie in `place.results`, some folders deep in `around`, where nothing else may be."""

    place: AnalysisPlace
    around: Path
    shape: AnalysisShape
    cluster: Cluster = field(repr=False)

    def begin_by_api(self, api: Api, target: str, **more: Any) -> Task | None:
        """`POST` one; None, noted, where it is refused."""
        body = json.dumps({"target": target, **more}).encode()
        answer = api.ask("analyse", method="POST", body=body)
        return self._begun(target, (answer.get("body") or {}).get("task_id"), answer["status"])

    def begin_by_command(self, api: Api, target: str, *flags: str) -> Task | None:
        """The same from the command line."""
        end = self.cluster.begin_command("analyse", self.cluster.place(api=api.place), target, *flags)
        done = end()
        return self._begun(target, (done.json() or {}).get("task_id"), done.exit_code)

    def begin_by_code(self, target: str, **more: Any) -> Task | None:
        """The same from a program of the application."""
        task_id = self.cluster.client().ask("analyse", run=self.shape.run, target=target, more=more)
        return self._begun(target, task_id, 0)

    def look(self, task: Task, *, api: Api | None = None) -> Entry:
        """Note what both stores hold of an analysis, and what an API gives of both."""
        columns = self.shape.columns
        asked = f"SELECT {columns['document']}, {columns['metadata']} FROM {self.shape.table} WHERE {columns['task_id']} = %s"  # noqa: S608, E501 - the subject's own names
        found = self.cluster.query(asked, task.id)
        row = {"document": found[0][0], "metadata": found[0][1]} if found else None
        value: dict[str, Any] = {"row": row, **self._files(task.id)}
        if api is not None:
            value["told"] = {name: self._told(api, name, task) for name in ("analysis", "analysis-file")}
        return self.cluster.note("analysis", task=task, **value)

    def await_kept(self, *tasks: Task) -> None:
        """Look until there is a file of each; that one never comes is for a check to judge."""
        with suppress(NeverCame):
            self.cluster.await_seen("a file of each", lambda: all(self._whole(task.id) for task in tasks) or None)
        for task in tasks:
            self.look(task)

    def await_gone(self, task: Task) -> None:
        """Look until it has no file; that it stays is for a check to judge."""
        with suppress(NeverCame):
            self.cluster.await_seen("the end of a file", lambda: not self._files(task.id)["files"] or None)
        self.look(task)

    def _begun(self, target: str, task_id: str | None, answer: int | None) -> Task | None:
        kind = "ok" if task_id else "fail"
        value = {"target": target[:200], "answer": answer}
        self.cluster.history.append(Kind.OPERATION, kind, "analyse", process="client", task=task_id, value=value)
        return self.cluster.task(task_id) if task_id else None

    def _whole(self, task_id: str) -> bool:
        seen = self._files(task_id)
        return bool(seen["files"]) and not seen["leftovers"]

    def _files(self, task_id: str) -> dict[str, Any]:
        """Visible files of this task, hidden ones of anybody, and whatever lies beside the results."""
        while True:
            with suppress(FileNotFoundError):  # it went away while it was looked at: look again
                return self._found(task_id)

    def _found(self, task_id: str) -> dict[str, Any]:
        root = self.place.results
        files, leftovers = [], []
        for path in sorted(root.rglob("*")) if root.is_dir() else []:
            inside = path.relative_to(root)
            if not path.is_file():
                continue
            if any(part.startswith(".") for part in inside.parts):
                leftovers.append(str(inside))
            elif task_id in str(inside):
                files.append({"path": str(inside), **_content(path)})
        within = {root, *root.parents}
        outside = [
            str(path)
            for path in self.around.rglob("*")
            if path not in within and root not in path.parents and not path.is_symlink()
        ]
        return {"files": files, "leftovers": leftovers, "outside": outside}

    def _told(self, api: Api, name: str, task: Task) -> dict[str, Any]:
        answer = answer_to(Asked(name, task.id, api.place.token), api.place, api.shape)
        return {"status": answer["status"], "document": answer.get("body"), "size": answer.get("size")}


def _content(path: Path) -> dict[str, Any]:
    """What it holds; None where that is no whole document. Raises FileNotFoundError where it is gone."""
    data = path.read_bytes()
    try:
        document = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except (OSError, EOFError, ValueError, zlib.error):
        document = None
    return {"bytes": len(data), "document": document}
