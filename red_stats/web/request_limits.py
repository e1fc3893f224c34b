"""How often a client may call RED_STATS: commands cost a transaction, everything else little."""

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from red_common.problems import Problem
from red_common.rate_limits import RateLimits
from red_common.refusal_pacing import RefusalPacing
from red_common.web.auth import CALLER
from red_common.web.handlers import Handler
from red_common.web.more_headers import MORE_HEADERS
from red_stats.web.worker_tokens import SCOPE

COMMANDS_PER_SECOND: Final = 5.0
COMMANDS_AT_ONCE: Final = 100
COMMAND_BYTES_A_DAY: Final = 256 << 20  # as many at once
KEPT_BYTES: Final = 48 << 10  # of a command and its answer, which are kept for ever: more than they have
REQUESTS_PER_SECOND: Final = 100.0
REQUESTS_AT_ONCE: Final = 1000
LONGEST_REFUSAL: Final = 10.0  # seconds: up to 500 connections of a client cost 50 refusals a second
TEST_SECONDS: Final = 10.0  # between two test events of a subscription

ONE: Final = "/v1/subscriptions/{id}"
COMMANDS: Final = frozenset(
    [
        ("POST", "/v1/subscriptions"),
        ("PATCH", ONE),
        ("DELETE", ONE),
        ("POST", f"{ONE}/rotate-secret"),
        ("POST", f"{ONE}/recover"),
        ("POST", "/v1/deliveries/{id}/redeliver"),
    ]
)


def request_limits(monotonic: Callable[[], float], size_of: Callable[[str], int]) -> Any:
    """A middleware behind authentication that limits the requests of each caller's client in this process.

    Commands have a limit of their own, and one of what they write: each writes the client's whole list, of
    which `size_of` gives the bytes. Its requests to other addresses share one limit. What is refused as one
    too many, here or behind, is answered at a pace.
    """
    pacing = RefusalPacing(monotonic, LONGEST_REFUSAL)
    written = RateLimits("bytes", COMMAND_BYTES_A_DAY / 86_400, COMMAND_BYTES_A_DAY, monotonic)
    commands = RateLimits("commands", COMMANDS_PER_SECOND, COMMANDS_AT_ONCE, monotonic)
    requests = RateLimits("requests", REQUESTS_PER_SECOND, REQUESTS_AT_ONCE, monotonic)

    def admit(request: web.Request, client_id: str) -> None:
        is_command = _is_command(request)
        limits = commands if is_command else requests
        try:
            if is_command:
                refuse(written, client_id, "This client's commands have written too much in a day")
            take(limits, client_id, "This client has reached its rate limit")
            if is_command:
                written.charge(client_id, size_of(client_id) + KEPT_BYTES)
        finally:
            request[MORE_HEADERS] = limits.headers(client_id)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        caller = request.get(CALLER)
        # A worker asks on behalf of a client that was limited where it asked.
        if caller is None or SCOPE in caller.scopes:
            return await handler(request)
        try:
            admit(request, caller.client_id)
            return await handler(request)
        except Problem as problem:
            if problem.status == 429:
                await asyncio.sleep(pacing.delay_seconds(caller.client_id))
            raise

    return middleware


def test_event_limits(monotonic: Callable[[], float]) -> RateLimits:
    """How often each subscription may be tested."""
    return RateLimits("tests", 1 / TEST_SECONDS, 1, monotonic)


def take(limits: RateLimits, who: str, refusal: str) -> None:
    """Take one from somebody's limit.

    Raises:
        Problem: 429 `rate_limited`, nothing is left; `refusal` says of what.
    """
    refuse(limits, who, refusal)
    limits.charge(who)


def refuse(limits: RateLimits, who: str, refusal: str) -> None:
    """Refuse somebody who has nothing left.

    Raises:
        Problem: 429 `rate_limited`; `refusal` says of what nothing is left.
    """
    wait = math.ceil(limits.wait_seconds(who))
    if wait:
        detail = f"{refusal}; try again after Retry-After seconds."
        raise Problem("rate_limited", detail, retry_after=wait, close=True)


def _is_command(request: web.Request) -> bool:
    resource = request.match_info.route.resource
    return resource is not None and (request.method, resource.canonical) in COMMANDS
