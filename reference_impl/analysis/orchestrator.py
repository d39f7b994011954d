"""Asks every analyser service at once, and hears each until its end, until it breaks off, or until the time is over."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect

from reference_impl.analysis.frames import Choice, Frames

FRAME_BYTES_MAX = 16 << 20
_CLOSE_S = 1.0


def ask_services(services: Mapping[str, str], request: Mapping[str, Any], deadline_s: float) -> list[Choice]:
    """What each service answers, in the order of their names; takes `deadline_s` at most, and a moment for closing."""
    until = time.monotonic() + deadline_s
    with ThreadPoolExecutor(len(services), thread_name_prefix="celery-tracker analysis") as pool:
        asked = [pool.submit(_ask, name, services[name], request, until) for name in sorted(services)]
        return [each.result() for each in asked]


def _ask(service: str, url: str, request: Mapping[str, Any], until: float) -> Choice:
    frames = Frames(service, request["task_id"])
    try:
        with connect(
            url,
            open_timeout=max(0.1, until - time.monotonic()),
            close_timeout=_CLOSE_S,
            max_size=FRAME_BYTES_MAX,
            proxy=None,
        ) as socket:
            socket.send(json.dumps({"type": "analyse", **request}))
            while (left := until - time.monotonic()) > 0:
                if frames.hear(socket.recv(timeout=left)):
                    return frames.choose("its end came")
        return frames.choose("the time was over")
    except TimeoutError:
        return frames.choose("the time was over")
    except ConnectionClosed as error:
        return frames.choose(f"the connection was closed: {error}")
    except (OSError, WebSocketException) as error:
        return frames.choose(f"the connection failed: {type(error).__name__}: {error}")
