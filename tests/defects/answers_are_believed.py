"""What a node answers is taken as it comes, and an answer that makes no sense ends the sweep that asked."""

from typing import Any

from reference_impl import rollcall


def apply() -> None:
    def note(self: Any, name: str, said: Any) -> None:
        self.names.add(name)
        if isinstance(said, dict):
            self.held.update(said.get("held") or ())
            self.behind = self.behind or bool(said.get("behind"))
            self.incarnations.add(said.get("incarnation"))

    rollcall._Heard.note = note
