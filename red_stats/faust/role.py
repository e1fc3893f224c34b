"""The declaration of a role, and the words that it is made of."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, NoReturn

from aiohttp import web

from red_stats import topics
from red_stats.domain.record_batches import FetchSettings, Fold, Recording
from red_stats.tables.partition_state import PartitionState, PartitionStates, Tables, do_nothing

Resource = Callable[[], AbstractAsyncContextManager[Any]]
Fatal = Callable[[str], NoReturn]


class Site(NamedTuple):
    """The HTTP server of a process: its middlewares and routes, and where a POST only reads."""

    middlewares: Sequence[Any]
    routes: Sequence[web.RouteDef]
    reads: Collection[str] = ()


def after_mark(state: PartitionState[Any] | None, topic: str) -> int:
    """The offset after the mark of a source topic; 0 when nothing has been folded yet."""
    return 0 if state is None else state.mark(topic).offset + 1


@dataclass(frozen=True)
class Role(Generic[Tables]):
    """The declaration of a role: the state it holds, what it does with its topics, what it needs open.

    Attributes:
        states: the partitions it holds.
        folds: a fold for each source topic that is folded.
        recordings: a recorder for each source topic that is recorded.
        on_assigned: awaited for each assigned partition, once its state is loaded.
        on_revoked: called for each revoked partition, before its writer stops.
        resume_offset: (state or None, source topic) -> the offset to go on at after an assignment.
        fetch: how the consumer fetches.
        resources: opened in order before the streams, waiting for Kafka if necessary; closed after them.
        stopping: the first steps after the streams have ended, last one first.
    """

    states: PartitionStates[Tables]
    folds: dict[topics.Topic, Fold] = field(default_factory=dict)
    recordings: dict[topics.Topic, Recording] = field(default_factory=dict)
    on_assigned: Callable[[PartitionState[Tables]], Awaitable[None]] = do_nothing
    on_revoked: Callable[[PartitionState[Tables]], None] = lambda state: None
    resume_offset: Callable[[PartitionState[Tables] | None, str], int] = after_mark
    fetch: FetchSettings = field(default_factory=FetchSettings)
    resources: Sequence[Resource] = ()
    stopping: Sequence[Callable[[], Awaitable[None]]] = ()
