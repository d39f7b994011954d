"""Whoever asks has all sources asked."""

from reference_impl.sitrep import Sitreps
from reference_impl.sitrep_document import Sitrep


def apply() -> None:
    latest = Sitreps.latest

    def gathered(self: Sitreps, limit: int) -> Sitrep:
        self._latest = None
        return latest(self, limit)

    Sitreps.latest = gathered  # type: ignore[method-assign]
