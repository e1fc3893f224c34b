"""How an agent of ours hangs on a Faust stream: batch by batch, acknowledged after its commit."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from red_stats import crash
from red_stats.adapters.batching import Batch

log = logging.getLogger(__name__)

Fold = Callable[[Batch], Awaitable[bool]]


def bind(role: str, fold: Fold, fatal: Callable[[str], NoReturn]) -> Callable[[Any], Any]:
    """A Faust agent around a fold.

    Faust acknowledges an event whose agent raised, and it is lost; so no exception leaves the
    body: what a fold cannot retry or dead-letter stops the process, and the mark replays it.
    """

    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                done = await fold(event.value)
            except Exception as error:
                log.exception("%s: a fold failed", role)
                fatal(f"{role}: {error!r}")
            if done:
                crash.at(f"{role}.before-ack")
                await stream.ack(event)

    return agent
