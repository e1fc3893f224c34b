"""What attempts and changes of subscriptions mean for endpoints: disabled, probed, enabled, and told of."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson

from red_stats import topics
from red_stats.agents.updates import Attempted, SubscriptionChanged
from red_stats.domain import failing_endpoints
from red_stats.domain.alerts import uuid5
from red_stats.domain.deliveries import Row
from red_stats.domain.delivery_kinds import kind_of
from red_stats.domain.erasure import ErasedOf
from red_stats.domain.failing_endpoints import Change, Endpoint, HealthRules, Step
from red_stats.domain.record_batches import Out
from red_stats.domain.retries import retry_after_seconds, verdict
from red_stats.domain.subscriptions import Subscription
from red_stats.tables.deliver import DeliverTables
from red_stats.tables.endpoint_rows import encode

ROOM: Final = 100  # deliveries that may wait for an endpoint which gets another notice


class Endpoints:
    """What one transaction changes in the table `failing`: each step sees the changes of those before it.

    `made` are the probes and notices that it makes, `commands` what it asks of role live.

    Args:
        tables: what role deliver holds for the partition.
        rules: when they are disabled and probed.
        subscriptions_of: client_id -> its subscriptions as they are now.
    """

    def __init__(
        self,
        tables: DeliverTables,
        rules: HealthRules,
        subscriptions_of: Callable[[str], Iterable[Subscription]],
    ) -> None:
        self._table = tables.failing
        self._pending = tables.pending
        self._rules = rules
        self._subscriptions_of = subscriptions_of
        self._changed: dict[str, Endpoint | None] = {}
        self.changes: list[Change] = []
        self.made: list[Row] = []
        self.commands: list[Out] = []

    def attempted(self, update: Attempted, *, is_held: bool) -> None:
        """After an attempt that counts; `is_held`: the delivery waits for the endpoint to be enabled."""
        row, answer = update.row, verdict(update.outcome)
        name = row.subscription_id
        endpoint = self._current(name)
        if answer == "delivered":
            self._step(row.client_id, name, update.at, failing_endpoints.succeeded(endpoint, update.at))
            if endpoint is not None and endpoint.disabled == "failing":
                self._command("enable", row, update.version)
            return
        if answer == "gone" and is_held:
            self._command("disable", row, update.version, "gone")
        if not kind_of(row).retried:  # a test event or a probe: others say since when it fails
            if endpoint is not None and kind_of(row).though_disabled:
                hint = retry_after_seconds(update.outcome, update.at / 1000)
                self._changed[name] = failing_endpoints.refused(endpoint, update.at, hint)
            return
        limit = self._rules.disable_ms
        step = failing_endpoints.failed(endpoint, row.client_id, update.url, update.at, limit)
        self._step(row.client_id, name, update.at, step)
        if step.endpoint is not None and failing_endpoints.is_lost(step.endpoint, update.at, limit):
            self._command("disable", row, update.version, "failing")

    def changed(self, update: SubscriptionChanged) -> None:
        """After a change of a subscription."""
        name, endpoint = update.subscription_id, self._current(update.subscription_id)
        step = failing_endpoints.changed(
            endpoint, update.client_id, update.subscription, update.at, self._rules.probes
        )
        self._step(update.client_id, name, update.at, step)

    def probe(self, at: int) -> None:
        """Make the probes that are due at `at` (ms)."""
        for name in self._table.due(at):
            endpoint = self._current(name)
            if endpoint is None or not 0 < endpoint.due <= at:
                continue
            found = next((s for s in self._subscriptions_of(endpoint.client_id) if s.id == name), None)
            if (
                found is not None
                and found.holds
                and found.disabled_reason == "failing"
                and not self._probes(name)
            ):
                self.made.append(failing_endpoints.probe_of(endpoint, found, at))
            self._changed[name] = failing_endpoints.probed(endpoint, at, self._rules.probes)

    def _probes(self, name: str) -> bool:
        """Whether a probe is under way."""
        return any(kind_of(row).though_disabled for row in self._pending.of.get(name, {}).values())

    def drop(self, name: str) -> None:
        """Forget an endpoint without a trace."""
        self._changed[name] = None

    def records(self, changelog: str) -> list[Out]:
        """The changelog records of what has changed."""
        return [
            (changelog, name.encode(), None if endpoint is None else encode(endpoint))
            for name, endpoint in self._changed.items()
            if endpoint != self._table.get(name)
        ]

    def events(self, erased_of: ErasedOf) -> list[Out]:
        """The records of changes on red.deliveries, but of those that are erased."""
        return [
            (topics.DELIVERIES, change.client_id.encode(), failing_endpoints.event_of(change))
            for change in self.changes
            if not erased_of(change.client_id).holds_delivery("", change.at)
        ]

    def _current(self, name: str) -> Endpoint | None:
        return self._changed[name] if name in self._changed else self._table.get(name)

    def _step(self, client_id: str, name: str, at: int, step: Step) -> None:
        before = self._current(name)
        self._changed[name] = step.endpoint
        if step.state is None:
            return
        known = step.endpoint or before
        change = Change(
            client_id, name, step.state, at,
            known.since if known is not None else at,
            (step.endpoint.disabled or None) if step.endpoint is not None else None,
        )  # fmt: skip
        self.changes.append(change)
        self.made += [
            failing_endpoints.notice_of(change, other)
            for other in self._subscriptions_of(client_id)
            if other.notices and other.enabled and other.id != name and self._has_room(client_id, other.id)
        ]

    def _has_room(self, client_id: str, name: str) -> bool:
        """Whether an endpoint takes what it gets: one that does not is told no more."""
        return self._pending.counts(client_id, name)[0] < ROOM

    def _command(self, command: str, row: Row, version: int, reason: str | None = None) -> None:
        """Ask role live; the id names the version, so that a second time gets the same answer."""
        said = reason or command
        fields: dict[str, Any] = {
            "command": command,
            "command_id": uuid5((said.encode() * 16)[:16], f"{row.subscription_id}/{version}"),
            "client_id": row.client_id,
            "subscription_id": row.subscription_id,
            "if_version": version,
        }
        if reason is not None:
            fields["reason"] = reason
        self.commands.append((topics.SUBSCRIPTION_COMMANDS, row.client_id.encode(), orjson.dumps(fields)))
