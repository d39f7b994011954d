"""Which tasks are executed is read from the registry, without asking those who execute them."""

from reference_impl import operations


def apply() -> None:
    operations._executed = lambda *_: {}
