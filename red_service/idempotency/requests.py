"""Idempotency-Key: a retry gets the same events and answer, whatever happened to RED in between.

Within one process a retry waits for the first request. In another, or after a restart, it finds the
first request's answer, or only its intent. Then, once the first one's lease is over, it finishes it: it
fences the first producer, looks for the events in the log, and publishes those that are not there
(docs/adr/0004-idempotency-keys.md).
"""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from red_common import failpoints
from red_common.problems import Problem
from red_common.web.idempotency_key import reused
from red_service.idempotency.publisher import TransactionalPublisher
from red_service.idempotency.records import Answer, Intent, Planned, State, fingerprint
from red_service.idempotency.store import IntentStore
from red_service.image_store import StorageError
from red_service.pipeline import MeasurementPipeline
from red_service.problems import FromFuture, NotStored, UnknownOutcome, none_measured, rejected_item
from red_service.publisher import KafkaUnavailable, Position
from red_service.upload import Upload

log = logging.getLogger(__name__)

TRIES = 5  # other processes may be faster at writing the next intent

Items = list[dict[str, Any]]


class IdempotentRequests:
    """Answers keyed requests; `now` is the clock.

    `lease` is how long other processes leave an unfinished request to the one that began it.
    """

    def __init__(
        self,
        pipeline: MeasurementPipeline,
        intents: IntentStore,
        publisher: TransactionalPublisher,
        *,
        lease: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self._pipeline = pipeline
        self._intents = intents
        self._publisher = publisher
        self._lease = lease
        self._now = now
        self._running: dict[tuple[str, str], tuple[str, asyncio.Task[Items]]] = {}

    async def items(
        self, client_id: str, key: str, uploads: Sequence[Upload], multipart: bool, trace: str
    ) -> Items:
        """The response items, at least one of them measured; a retry within 24 h gets the same ones.

        The work continues if the caller is cancelled. After an error the same request may be sent again.

        Raises:
            Problem: 409 the first request has not finished, 422 the key was used with another body, 503
                nothing is known to be stored; or what is wrong with the images.
        """
        body = fingerprint([(upload.name, upload.content) for upload in uploads], multipart)
        running = self._running.get((client_id, key))
        if running is None:
            work = self._answer(_Request(client_id, key, body, uploads, multipart, trace))
            task = asyncio.create_task(work, name="keyed request")
            self._running[client_id, key] = running = body, task
            task.add_done_callback(lambda _: self._running.pop((client_id, key)))
        if running[0] != body:
            raise reused()
        return await asyncio.shield(running[1])

    async def _answer(self, request: "_Request") -> Items:
        try:
            for _ in range(TRIES):
                state = await self._intents.recall(request.client_id, request.key)
                try:
                    items = await self._continue_from(state, request)
                except FromFuture:  # the clock was set back since these images were measured: measure again
                    items = await self._begin(state.number + 2, request)
                if items is not None:
                    return items
        except StorageError as error:
            log.warning("could not look up a keyed request: %s", error)
            raise NotStored("The image store does not answer; try again.") from None
        raise _in_progress(1)

    async def _continue_from(self, state: State, request: "_Request") -> Items | None:
        """The response items, or None if another process was faster at writing the next intent."""
        now = self._now()
        if state.is_forgotten(now):
            return await self._begin(state.number + 1, request)
        newest = state.answer or state.intent
        assert newest is not None
        if newest.body != request.body:
            raise reused()
        if state.answer is not None:
            return list(state.answer.items)
        assert state.intent is not None
        is_ours = state.intent.producer == self._publisher.transactional_id
        left = state.left(self._lease, now)
        if not is_ours and left > 0:
            raise _in_progress(math.ceil(left))
        return await self._take_over(state.number + 1, state.intent, request)

    async def _begin(self, number: int, request: "_Request") -> Items | None:
        planned, rejected = await self._plan(request)
        try:
            partition, log_end = await self._publisher.log_end_of(request.client_id)
        except KafkaUnavailable as error:
            raise NotStored(f"{error}.") from None
        intent = Intent(
            body=request.body,
            at=self._now(),
            producer=self._publisher.transactional_id,
            partition=partition,
            log_end=log_end,
            planned=tuple(planned),
            rejected=tuple(rejected),
            multipart=request.multipart,
        )
        failpoints.hit("red.before-intent")
        if not await self._intents.create(request.client_id, request.key, number, intent):
            return None
        return await self._publish_missing(number, intent, request, {})

    async def _take_over(self, number: int, old: Intent, request: "_Request") -> Items | None:
        intent = msgspec.structs.replace(old, at=self._now(), producer=self._publisher.transactional_id)
        if not await self._intents.create(request.client_id, request.key, number, intent):
            return None
        ids = [planned.image_id for planned in intent.planned]
        try:
            await self._publisher.fence(old.producer)
            found = await self._publisher.find(intent.partition, intent.log_end, ids)
        except KafkaUnavailable:
            raise UnknownOutcome(
                "Kafka does not say whether the first request was stored; try again."
            ) from None
        log.info(
            "took over keyed request %s of %s: %d of %d events are in the log",
            number,
            request.client_id,
            len(found),
            len(ids),
        )
        return await self._publish_missing(number, intent, request, found)

    async def _publish_missing(
        self, number: int, intent: Intent, request: "_Request", found: dict[str, Position]
    ) -> Items:
        """Publishes the intent's events that were not found, and keeps the answer."""
        missing = [planned for planned in intent.planned if planned.image_id not in found]
        if missing:
            values = [planned.value.encode() for planned in missing]
            made = await self._publisher.publish(request.client_id, intent.partition, values, request.trace)
            found |= {planned.image_id: position for planned, position in zip(missing, made, strict=True)}
        measured = [planned.item | {"position": str(found[planned.image_id])} for planned in intent.planned]
        items = sorted([*measured, *intent.rejected], key=lambda item: int(item["index"]))
        answer = Answer(intent.body, self._now(), tuple(items), intent.multipart)
        try:
            await self._intents.conclude(request.client_id, request.key, number, answer)
        except StorageError as error:  # a retry will find the events in the log
            log.warning("could not keep the answer to a keyed request: %s", error)
        failpoints.hit("red.after-answer")
        return items

    async def _plan(self, request: "_Request") -> tuple[list[Planned], Items]:
        """Measures and stores every image: the events to publish, and the items of rejected images."""
        planned: list[Planned] = []
        rejected: Items = []
        prepared = await self._pipeline.prepare_all(request.client_id, request.uploads)
        for index, (upload, found) in enumerate(zip(request.uploads, prepared, strict=True)):
            if isinstance(found, Problem):
                rejected.append(rejected_item(found, index, upload.name))
            else:
                planned.append(Planned(found.image_id, found.value.decode(), {"index": index, **found.item}))
        if not planned:
            raise none_measured(rejected) if request.multipart else _problem_of(prepared)
        return planned, rejected


class _Request(msgspec.Struct, frozen=True):
    client_id: str
    key: str
    body: str
    uploads: Sequence[Upload]
    multipart: bool
    trace: str


def _problem_of(prepared: Sequence[Any]) -> Problem:
    problem = prepared[0]
    assert isinstance(problem, Problem)
    return problem


def _in_progress(seconds: int) -> Problem:
    detail = "The first request with this Idempotency-Key has not finished; try again."
    return Problem("idempotency_in_progress", detail, retry_after=seconds)
