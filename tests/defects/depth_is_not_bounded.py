"""Nesting is followed for as long as the interpreter's stack lasts."""

import sys

from reference_impl import storable


def apply() -> None:
    storable.DEPTH_MAX = sys.maxsize
