"""Who has to ask pauses for as long as it has waited already."""

from reference_impl import client


def apply() -> None:
    client.PACE, client.PACE_S_MAX = 1.0, 600.0
