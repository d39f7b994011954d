"""Who asks for an expired result learns that it is gone, and not since when."""

from typing import Any

from reference_impl import api


def apply() -> None:
    init = api.ProblemError.__init__

    def terse(self: api.ProblemError, status: int, code: str, detail: str | None = None, **more: Any) -> None:
        init(self, status, code, detail, **({} if code == "expired" else more))

    api.ProblemError.__init__ = terse
