"""Whatever is stored as a state is taken for one."""

from reference_impl import noted_results


def apply() -> None:
    noted_results.is_state = lambda _: True
