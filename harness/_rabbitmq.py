"""A RabbitMQ's management API, as far as virtual hosts go: each scenario has one of its own.

The API is asked at the server's host, on port 15672, as the user of its URL.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, unquote

from harness._errors import SetupBroken
from harness._servers import Address

MANAGEMENT_PORT = 15672
_WITHIN_S = 10


def version(server: Address) -> str:
    """What the server calls itself. Raises SetupBroken."""
    said: str = _ask(server, "GET", "overview")["rabbitmq_version"]
    return said


def answers(server: Address) -> bool:
    """Whether server and API are up, and the server takes work."""
    try:
        return bool(_ask(server, "GET", "health/checks/node-is-quorum-critical"))
    except SetupBroken:
        return False


def create_vhost(server: Address, name: str, description: str) -> None:
    """A virtual host that the user of the URL may use. Raises SetupBroken."""
    user = unquote(server.login.partition(":")[0])
    _ask(server, "PUT", f"vhosts/{quote(name, safe='')}", {"description": description})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    _ask(server, "PUT", f"permissions/{quote(name, safe='')}/{quote(user, safe='')}", everything)


def delete_vhost(server: Address, name: str) -> None:
    """With all that is in it. Raises SetupBroken."""
    _ask(server, "DELETE", f"vhosts/{quote(name, safe='')}")


def vhosts(server: Address) -> dict[str, str]:
    """Every virtual host with its description. Raises SetupBroken."""
    return {row["name"]: row.get("description") or "" for row in _ask(server, "GET", "vhosts")}


def _ask(server: Address, method: str, path: str, value: dict[str, Any] | None = None) -> Any:
    credentials = base64.b64encode(unquote(server.login.removesuffix("@")).encode()).decode()
    request = urllib.request.Request(
        f"http://{server.host}:{MANAGEMENT_PORT}/api/{path}",
        method=method,
        data=json.dumps(value).encode() if value is not None else None,
        headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_WITHIN_S) as answer:  # noqa: S310 - the scheme is written above
            body = answer.read()
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")[:300]
        raise SetupBroken(f"RabbitMQ's management API refuses {method} {path}: {error.code} {said}") from error
    except OSError as error:
        raise SetupBroken(
            f"RabbitMQ's management API at {server.host}:{MANAGEMENT_PORT} does not answer: {error}; "
            "it is needed to make virtual hosts (rabbitmq-plugins enable rabbitmq_management)"
        ) from error
    return json.loads(body) if body else None
