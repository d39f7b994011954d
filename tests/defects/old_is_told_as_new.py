"""An answer that was kept tells the age that it had when it was gathered."""

from reference_impl import sitrep


def apply() -> None:
    sitrep._aged = lambda told, _: told
