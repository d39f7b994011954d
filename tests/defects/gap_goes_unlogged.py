"""That progress could not be dropped is not worth a line: a sweep will do it anyway."""

import logging

from reference_impl import agents


def apply() -> None:
    agents.logger.setLevel(logging.ERROR)
