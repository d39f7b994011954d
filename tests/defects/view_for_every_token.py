"""Whose token is for the tasks of one owner sees what there is of all."""

from reference_impl import api_scheduler
from reference_impl.api_callers import Caller


def apply() -> None:
    api_scheduler.Overseer = Caller
