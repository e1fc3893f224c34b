"""Subscription commands -> clients' lists of subscriptions, and an answer to each command."""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from red_common.events import InvalidEvent
from red_common.kafka.partitioner import partition_of
from red_common.problems import Problem
from red_stats import metrics, topics
from red_stats.domain import command_results, subscriptions
from red_stats.domain.command_results import CommandResult, ErasedUpTo
from red_stats.domain.commands import Context, Envelope, check_place, decide, read_envelope
from red_stats.domain.dead_letters import dead_letter, refuse_oversize
from red_stats.domain.erasure import Erased
from red_stats.domain.record_batches import Out, PartitionBatch
from red_stats.domain.subscriptions import Client
from red_stats.tables.command_results import AnswerRows
from red_stats.tables.declarations import Rows, rows_of_client
from red_stats.tables.live import LiveTables
from red_stats.tables.partition_state import Effects, Mark, PartitionState, PartitionStates

EndOf = Callable[[str, int], Awaitable[int]]
#: (partition, client_ids) -> the ids of all subscriptions that each of the clients ever had
EverSubscribed = Callable[[int, frozenset[str]], Awaitable[Mapping[str, Iterable[str]]]]


async def handle_commands(
    batch: PartitionBatch,
    *,
    states: PartitionStates[LiveTables],
    partitions: int,
    end_of: EndOf,
    seal: Callable[[str, str], str],
    opens: Callable[[str, str, str], bool],
    url_refusal: Callable[[str], str | None],
    ever_subscribed: EverSubscribed,
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
        ever_subscribed: what an erase ends besides what there is.

    Returns:
        Whether the batch may be acknowledged; False when the partition is no longer held.
    """
    # read before the lock is taken: only this fold adds to them; and marks only rise, so what is skipped
    # here is skipped under the lock, too
    held = states.held.get(batch.partition)
    done = held.mark(topics.SUBSCRIPTION_COMMANDS).offset if held is not None else -1
    new = (record for record in batch.records if record.offset > done)
    erased = frozenset(filter(None, map(_to_be_erased, new)))
    ever = await ever_subscribed(batch.partition, erased) if erased else {}

    async def build(state: PartitionState[LiveTables]) -> Effects | None:
        mark = state.mark(topics.SUBSCRIPTION_COMMANDS)
        records = [record for record in batch.records if record.offset > mark.offset]
        if not records:
            return None
        commands = _CommandBatch(state.tables, states.changelogs, batch.partition, ever)
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


def _to_be_erased(record: Any) -> str | None:
    """The client that a command would erase, whether it is accepted or not."""
    value = record.value or b""
    if b"erase" not in value and b"\\u" not in value:  # most commands are no erase, and are read once
        return None
    try:
        refuse_oversize(record.key, record.value)
        envelope = read_envelope(record.value)
    except InvalidEvent:
        return None
    return envelope.client_id if envelope.command == "erase" else None


class _CommandBatch:
    """What the commands of one batch change; each sees the changes of those before it."""

    def __init__(
        self,
        tables: LiveTables,
        changelogs: Mapping[str, str],
        partition: int,
        ever_subscribed: Mapping[str, Iterable[str]] = MappingProxyType({}),
    ) -> None:
        self._partition = partition
        self._changelogs = changelogs
        self._tables = tables
        self._ever_subscribed = ever_subscribed
        self._gone: list[tuple[Rows, bytes]] = []
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
        for rows, key in self._gone:
            rows.load(key, None)
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
        if change.subscription is None:
            return self._erase(envelope, record, change.client), 200
        accepted = self._result(
            envelope,
            record,
            status="accepted",
            subscription=change.subscription.public(),
            row=None if change.ended else change.subscription.private(),
            ended=change.ended,
        )
        return command_results.encode(accepted), 200

    def _erase(self, envelope: Envelope, record: Any, client: Client) -> bytes:
        """Remove everything of a client but its list, which says that it was erased."""
        name = client.client_id
        given = self._answers_of(name)  # those of this batch, too
        gone = [("answers", AnswerRows.key(name, command_id)) for command_id in given]
        gone += rows_of_client(self._tables, name, self._ever_subscribed.get(name, ()))
        for table, key in gone:
            self._gone.append((getattr(self._tables, table), key))
            self._changelog.append((self._changelogs[table], key, None))
        given.clear()
        assert isinstance(client.erased, Erased)
        told = ErasedUpTo.of(client.erased, self._partition)
        return command_results.encode(self._result(envelope, record, status="accepted", erased=told))

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
