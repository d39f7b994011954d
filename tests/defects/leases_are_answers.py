"""Workers whose leases hold are named among those who answered."""

from reference_impl.sitrep import Sitreps
from reference_impl.sitrep_document import Sitrep


def apply() -> None:
    told = Sitreps._told

    def with_leases(self: Sitreps) -> Sitrep:
        sitrep = told(self)
        workers = sitrep.sources.workers
        workers.workers = sorted({*workers.workers, *workers.silent})
        return sitrep

    Sitreps._told = with_leases  # type: ignore[method-assign]
