"""Subscription commands -> clients' lists of subscriptions, and an answer to each command."""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from red_common.events import InvalidEvent
from red_common.kafka.partitioner import partition_of
from red_common.problems import Problem
from red_stats import metrics, topics
from red_stats.domain import command_results, subscriptions
from red_stats.domain.command_results import CommandResult
from red_stats.domain.commands import Context, Envelope, check_place, decide, read_envelope
from red_stats.domain.dead_letters import dead_letter, refuse_oversize
from red_stats.domain.record_batches import Out, PartitionBatch
from red_stats.domain.subscriptions import Client
from red_stats.tables.command_results import AnswerRows
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

    Committed together: clients' lists (red.subscriptions), answers, dead letters, and the mark. A record
    at or below the mark is skipped, so a second delivery changes nothing; a command that was sent again
    under the same command_id gets its first answer again. All versions that the batch makes are in force
    from one stamp, the end of the measurement log read under the partition's lock: every measurement
    acknowledged before it is compared with the old version's threshold.

    Args:
        batch: what fetches brought for one partition.
        states: the partitions that role live holds.
        partitions: the number of partitions of every keyed topic.
        end_of: (topic, partition) -> the end of the log, one past the last offset.
        seal: (client_id, subscription_id) -> a new secret, sealed.
        opens: (client_id, subscription_id, sealed) -> whether a sealed secret can be opened.
        url_refusal: why a webhook URL is refused, or None.

    Returns:
        Whether the batch may be acknowledged; False when the partition is no longer held.
    """

    async def build(state: PartitionState[LiveTables]) -> Effects | None:
        mark = state.mark(topics.SUBSCRIPTION_COMMANDS)
        records = [record for record in batch.records if record.offset > mark.offset]
        if not records:
            return None
        commands = _CommandBatch(state.tables, states.changelogs, batch.partition)
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
            commands.handle(record, context)
        last = Mark(batch.last_offset, records[-1].timestamp)
        return Effects(
            commands.records(),
            {topics.SUBSCRIPTION_COMMANDS: last},
            commands.apply,
            elsewhere=commands.elsewhere,
        )

    return await states.transact(batch.partition, build, generation=batch.generation)


class _CommandBatch:
    """What the commands of one batch change; each sees the changes of those before it."""

    def __init__(self, tables: LiveTables, changelogs: Mapping[str, str], partition: int) -> None:
        self._partition = partition
        self._changelogs = changelogs
        self._thresholds = tables.thresholds
        self._answers = tables.answers
        self._clients: dict[str, Client] = {}
        self._given: dict[str, OrderedDict[str, bytes]] = {}
        self._out: list[Out] = []
        self._changelog: list[Out] = []
        self._counted: Counter[str] = Counter()  # by status, added to the metrics after the commit
        self._unreadable = 0
        self.elsewhere: dict[int, list[Out]] = defaultdict(list)  # by partition

    def handle(self, record: Any, context: Context) -> None:
        """Answer one command; one that cannot be answered becomes a dead letter."""
        try:
            refuse_oversize(record.key, record.value)
            envelope = read_envelope(record.value)
        except InvalidEvent as error:
            topic = topics.SUBSCRIPTION_COMMANDS
            self._out.append(dead_letter(topic, self._partition, record, str(error)))
            self._unreadable += 1
            return
        try:
            check_place(record.key, envelope.client_id, context)
        except Problem as problem:
            home = partition_of(envelope.client_id, context.partitions)
            out = self._out if home == self._partition else self.elsewhere[home]
            self._answer(out, envelope, self._rejected(envelope, record, problem))
            return
        given = self._answers_of(envelope.client_id)
        answer = given.get(envelope.command_id)
        if answer is None:
            answer, status = self._decide(envelope, record, context)
            if command_results.is_remembered(status):
                self._remember(given, envelope, answer)
        self._answer(self._out, envelope, answer)

    def records(self) -> list[Out]:
        """What is written: lists before answers, so that no answer precedes its change."""
        lists = [
            (self._changelogs["thresholds"], client_id.encode(), subscriptions.encode(client))
            for client_id, client in self._clients.items()
        ]
        return lists + self._changelog + self._out

    def apply(self) -> None:
        """Change memory and count, after the commit."""
        for client in self._clients.values():
            self._thresholds.put(client)
        self._answers.update(self._given)
        for status, count in self._counted.items():
            metrics.COMMANDS.labels(status).inc(count)
        if self._unreadable:
            metrics.DEAD_LETTERS.labels(topics.SUBSCRIPTION_COMMANDS).inc(self._unreadable)

    def _decide(self, envelope: Envelope, record: Any, context: Context) -> tuple[bytes, int]:
        """The answer, and its HTTP status."""
        client = self._clients.get(envelope.client_id) or self._thresholds.get(envelope.client_id)
        try:
            change = decide(record.value, record.key, client, context)
        except Problem as problem:
            return self._rejected(envelope, record, problem), problem.status
        self._counted["accepted"] += 1
        self._clients[envelope.client_id] = change.client
        accepted = self._result(
            envelope,
            record,
            status="accepted",
            subscription=change.subscription.public(),
            row=None if change.ended else change.subscription.private(),
            ended=change.ended,
        )
        return command_results.encode(accepted), 200

    def _answer(self, out: list[Out], envelope: Envelope, answer: bytes) -> None:
        out.append((topics.COMMAND_RESULTS, envelope.client_id.encode(), answer))

    def _rejected(self, envelope: Envelope, record: Any, problem: Problem) -> bytes:
        self._counted["rejected"] += 1
        told = self._result(envelope, record, status="rejected", problem=problem.as_dict())
        return command_results.encode(told)

    def _result(self, envelope: Envelope, record: Any, **fields: Any) -> CommandResult:
        return CommandResult(
            command_id=envelope.command_id,
            client_id=envelope.client_id,
            command_position=f"{self._partition}:{record.offset}",
            fingerprint=envelope.fingerprint or msgspec.UNSET,
            **fields,
        )

    def _answers_of(self, client_id: str) -> OrderedDict[str, bytes]:
        if client_id not in self._given:
            self._given[client_id] = OrderedDict(self._answers.get(client_id, {}))
        return self._given[client_id]

    def _remember(self, given: OrderedDict[str, bytes], envelope: Envelope, answer: bytes) -> None:
        given[envelope.command_id] = answer
        client_id = envelope.client_id
        key = AnswerRows.key(client_id, envelope.command_id)
        self._changelog.append((self._changelogs["answers"], key, answer))
        for oldest in command_results.forgotten(given):
            del given[oldest]
            key = AnswerRows.key(client_id, oldest)
            self._changelog.append((self._changelogs["answers"], key, None))
