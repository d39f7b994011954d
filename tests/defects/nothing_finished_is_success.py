"""Before the first task has finished, all of them count as successful."""

from reference_impl import sitrep


def apply() -> None:
    rate = sitrep._rate
    sitrep._rate = lambda completed, failed: 1.0 if not completed and not failed else rate(completed, failed)
