"""What the broker has lost waits for ever: no sweep looks for messages."""

from reference_impl import sweep
from reference_impl.deliveries import Sought


def apply() -> None:
    sweep.look_for_messages = lambda *_: Sought()
