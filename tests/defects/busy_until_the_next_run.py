"""A run that ends leaves its agent's row to the next one, which writes it anew."""

from typing import Any

from reference_impl import agreement, registry
from reference_impl.agent_rows import Step, take_word


def apply() -> None:
    def begins_only(connection: Any, word: Any, *args: Any) -> Any:
        return () if word.step is Step.ENDS else take_word(connection, word, *args)

    registry.take_word = begins_only
    registry.abandon = lambda *_: ()
    agreement.abandon_run = lambda *_: False
