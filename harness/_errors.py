"""What can go wrong outside a promise, one class for each decision a caller can take."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class HarnessError(Exception):
    """Base of everything the harness raises on purpose; the message is fit for a user."""


class UsageError(HarnessError):
    """The call is wrong: what was expected, what arrived, what to do next."""


class SetupBroken(HarnessError):
    """The set-up failed before any promise could be judged; not a verdict on the subject."""


class NeverCame(HarnessError):
    """An awaited event did not come within its deadline."""


def unknown(kind: str, given: str, known: Iterable[str]) -> UsageError:
    """The error for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    usual = re.sub(r"(?<=-)\d$", r"0\g<0>", given.upper())  # the id of a promise, as one types it
    near = [usual] if usual in names else get_close_matches(given, names, n=1, cutoff=0.4)
    near = near or get_close_matches(usual, names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    listed = ", ".join(names) if len(names) <= 12 else f"{', '.join(names[:12])}, ... ({len(names)} in all)"
    return UsageError(f"unknown {kind} {given!r}: {hint}known: {listed}")
