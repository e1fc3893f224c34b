"""Subscription commands -> the threshold table and an answer each."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from red_common.events import InvalidEvent
from red_common.problems import Problem
from red_stats import metrics, topics
from red_stats.domain import command_results, subscriptions
from red_stats.domain.command_results import CommandResult
from red_stats.domain.commands import Context, Envelope, decide, read_envelope
from red_stats.domain.dead_letters import dead_letter
from red_stats.domain.record_batches import Out, PartitionBatch
from red_stats.domain.subscriptions import Client
from red_stats.tables.command_results import REMEMBERED_ANSWERS, AnswerRows
from red_stats.tables.live import LiveTables
from red_stats.tables.partition_state import Effects, Mark, PartitionState, PartitionStates

EndOf = Callable[[str, int], Awaitable[int]]


async def handle_commands(
    batch: PartitionBatch,
    *,
    states: PartitionStates[LiveTables],
    partitions: int,
    end_of: EndOf,
    seal: Callable[[str, str], str],
    opens: Callable[[str, str, str], bool],
    url_refusal: Callable[[str], str | None],
) -> bool:
    """Decide one batch of `red.subscription-commands`.

    Committed together: clients' lists (red.subscriptions), answers, and the mark, which makes a
    second delivery a no-op. All commands of the batch start at one stamp, the measurement log's
    end read under the partition's lock: acknowledged before is judged by the old version.
    """

    async def build(state: PartitionState[LiveTables]) -> Effects | None:
        mark = state.mark(topics.SUBSCRIPTION_COMMANDS)
        records = [record for record in batch.records if record.offset > mark.offset]
        if not records:
            return None
        work = _Work(state.tables, states.changelogs, batch.partition)
        stamp = await end_of(topics.MEASUREMENTS, batch.partition)
        for record in records:
            context = Context(
                partition=batch.partition,
                partitions=partitions,
                offset=record.offset,
                at=record.timestamp,
                stamp=stamp,
                mark=state.mark(topics.MEASUREMENTS).offset,
                seal=seal,
                opens=opens,
                url_refusal=url_refusal,
            )
            work.handle(record, context)
        last = Mark(batch.last_offset, records[-1].timestamp)
        return Effects(work.records(), {topics.SUBSCRIPTION_COMMANDS: last}, work.apply)

    return await states.transact(batch.partition, build, generation=batch.generation)


class _Work:
    """What the commands of one batch change, each seeing what those before it did."""

    def __init__(self, tables: LiveTables, changelogs: Mapping[str, str], partition: int) -> None:
        self._partition = partition
        self._changelogs = changelogs
        self._thresholds = tables.thresholds
        self._answers = tables.answers
        self._clients: dict[str, Client] = {}
        self._given: dict[str, OrderedDict[str, bytes]] = {}
        self._out: list[Out] = []
        self._changelog: list[Out] = []

    def handle(self, record: Any, context: Context) -> None:
        """Answer one command, or send it to the dead letters when it cannot be answered."""
        try:
            envelope = read_envelope(record.value)
        except InvalidEvent as error:
            topic = topics.SUBSCRIPTION_COMMANDS
            letter = dead_letter(topic, self._partition, record, str(error))
            self._out.append((topics.DEAD_LETTERS, record.key, letter))
            metrics.DEAD_LETTERS.labels(topic).inc()
            return
        given = self._answers_of(envelope.client_id)
        answer = given.get(envelope.command_id)
        if answer is None:
            answer = self._decide(envelope, record, context)
            self._remember(given, envelope, answer)
        self._out.append((topics.COMMAND_RESULTS, envelope.client_id.encode(), answer))

    def records(self) -> list[Out]:
        """Lists first, then the answers: nothing is answered before it is in red.subscriptions."""
        lists = [
            (self._changelogs["thresholds"], client_id.encode(), subscriptions.encode(client))
            for client_id, client in self._clients.items()
        ]
        return lists + self._changelog + self._out

    def apply(self) -> None:
        """Memory follows the commit."""
        for client in self._clients.values():
            self._thresholds.put(client)
        self._answers.update(self._given)

    def _decide(self, envelope: Envelope, record: Any, context: Context) -> bytes:
        client = self._clients.get(envelope.client_id) or self._thresholds.get(envelope.client_id)
        answered = partial(
            CommandResult,
            command_id=envelope.command_id,
            client_id=envelope.client_id,
            command_position=f"{self._partition}:{record.offset}",
        )
        try:
            change = decide(record.value, record.key, client, context)
        except Problem as problem:
            metrics.COMMANDS.labels("rejected").inc()
            rejected = answered(status="rejected", problem=problem.as_dict())
            return command_results.encode(rejected)
        metrics.COMMANDS.labels("accepted").inc()
        self._clients[envelope.client_id] = change.client
        accepted = answered(
            status="accepted",
            subscription=change.subscription.public(),
            row=None if change.ended else change.subscription,
            ended=change.ended,
        )
        return command_results.encode(accepted)

    def _answers_of(self, client_id: str) -> OrderedDict[str, bytes]:
        if client_id not in self._given:
            self._given[client_id] = OrderedDict(self._answers.get(client_id, {}))
        return self._given[client_id]

    def _remember(self, given: OrderedDict[str, bytes], envelope: Envelope, answer: bytes) -> None:
        given[envelope.command_id] = answer
        client_id = envelope.client_id
        key = AnswerRows.key(client_id, envelope.command_id)
        self._changelog.append((self._changelogs["answers"], key, answer))
        while len(given) > REMEMBERED_ANSWERS:
            oldest, _ = given.popitem(last=False)
            key = AnswerRows.key(client_id, oldest)
            self._changelog.append((self._changelogs["answers"], key, None))
