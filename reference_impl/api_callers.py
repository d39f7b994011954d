"""Who asks the API: whose token a request carries, and what is not for them."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from reference_impl.api_problems import ProblemError
from reference_impl.settings import Settings


@dataclass(frozen=True)
class Token:
    """Whose token a request carries, None may see every task; and the names of what nobody may see."""

    owner: str | None
    secrets: frozenset[str]


_bearer = HTTPBearer(auto_error=False)


def _known(request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Token:
    caller: Token | None = request.app.state.who_calls(given.credentials if given else "")
    if caller is None:
        raise ProblemError(401, "unauthorised", "a bearer token is needed that this API knows")
    return caller


def who_calls(settings: Settings) -> Callable[[str], Token | None]:
    """Whose a token is; each is compared, in constant time, whether or not one before it is right."""
    tokens = [(each.token.get_secret_value().encode(), each.owner) for each in settings.api_tokens]

    def who_calls(said: str) -> Token | None:
        given = said.encode("utf-8", "surrogatepass")
        callers = [Token(owner, settings.masked_names) for token, owner in tokens if hmac.compare_digest(token, given)]
        return callers[0] if callers else None

    return who_calls


Caller = Annotated[Token, Depends(_known)]
"""Somebody whose token is known."""


def _unlimited(caller: Caller) -> Token:
    if caller.owner is not None:
        raise ProblemError(403, "limited", "this is about all tasks, and the token is for those of one owner")
    return caller


Overseer = Annotated[Token, Depends(_unlimited)]
"""Somebody whose token sees every task."""
