"""One attempt: a pending row as a signed POST to the present URL of its subscription."""

from collections.abc import Callable
from datetime import datetime
from functools import partial

import msgspec

from red_common import failpoints
from red_common.events import rfc3339
from red_stats import metrics
from red_stats.agents.updates import Attempted
from red_stats.delivery.webhook_client import WebhookClient
from red_stats.domain.deliveries import Row
from red_stats.domain.delivery_kinds import kind_of
from red_stats.domain.measurements import from_ms
from red_stats.domain.request_headers import opened, purpose
from red_stats.domain.retries import Outcome, verdict
from red_stats.domain.signatures import headers
from red_stats.domain.subscriptions import Subscription
from red_stats.kafka.subscription_cache import SubscriptionCache


class AttemptSender:
    """Makes attempts.

    Args:
        subscriptions: where to look for the URL and the secrets.
        new_client: makes the HTTP client, inside a running loop.
        open_secret: (client_id, subscription_id, sealed) -> the secret in clear.
        now: seconds since 1970.
        jitter: a random number in 0..1.
        new_challenge: makes a text that nobody can guess, or None: endpoints need not prove their consent.
    """

    def __init__(
        self,
        *,
        subscriptions: SubscriptionCache,
        new_client: Callable[[], WebhookClient],
        open_secret: Callable[[str, str, str], str],
        now: Callable[[], float],
        jitter: Callable[[], float],
        new_challenge: Callable[[], str] | None = None,
    ) -> None:
        self._subscriptions = subscriptions
        self._new_client = new_client
        self._open_secret = open_secret
        self._now = now
        self._jitter = jitter
        self._new_challenge = new_challenge
        self._client: WebhookClient | None = None  # made where the loop runs

    async def close(self) -> None:
        """Close the connections to webhooks."""
        if self._client is not None:
            await self._client.close()

    async def subscription_of(self, row: Row) -> Subscription | None:
        """The subscription as it is now; None only after the follower has read to the present end.

        Raises:
            KafkaError: Kafka cannot be reached.
        """
        found = self._subscriptions.find(row.client_id, row.subscription_id)
        if found is None or found.version < row.version:
            await self._subscriptions.follower.caught_up()
            found = self._subscriptions.find(row.client_id, row.subscription_id)
        return found

    async def send(
        self, row: Row, subscription: Subscription, *, is_probe: bool = False, is_proven: bool = False
    ) -> Attempted:
        """POST the row once; a second call sends the same bytes under the same webhook-id.

        A probe is a POST before the row is due, because its endpoint has failed and may have come back. If
        endpoints must prove their consent and this one has not, it has to echo a challenge first.
        """
        self._client = self._client or self._new_client()
        at = self._now()
        proves = self._new_challenge is not None and not is_proven
        if proves and (refused := await self._unproven(self._client, row, subscription, at)) is not None:
            metrics.ATTEMPTS.labels(verdict(refused)).inc()
            return self._attempted(row, subscription, at, refused, is_probe=is_probe)
        signed = self._headers(row, subscription, at, row.webhook_id, row.body)
        failpoints.hit("deliver.before-post")
        outcome = await self._client.post(subscription.webhook_url, signed, row.body)
        failpoints.hit("deliver.after-post")
        answer = verdict(outcome)
        metrics.ATTEMPTS.labels(answer).inc()
        if answer == "delivered" and row.attempt == 0 and kind_of(row).is_timed:
            measured = datetime.fromisoformat(row.timestamp).timestamp()
            metrics.IMAGE_TO_WEBHOOK.observe(max(0.0, self._now() - measured))
        return self._attempted(row, subscription, at, outcome, is_probe=is_probe, proves=proves)

    def _attempted(
        self,
        row: Row,
        subscription: Subscription,
        at: float,
        outcome: Outcome,
        *,
        is_probe: bool,
        proves: bool = False,
    ) -> Attempted:
        return Attempted(
            row, row.attempt + 1, int(at * 1000), outcome, subscription.version, self._jitter(),
            subscription.webhook_url, is_probe, proves,
        )  # fmt: skip

    async def _unproven(
        self, client: WebhookClient, row: Row, subscription: Subscription, at: float
    ) -> Outcome | None:
        """Sends a challenge; returns None if it came back, else the outcome of the attempt."""
        assert self._new_challenge is not None
        challenge = self._new_challenge()
        body = msgspec.json.encode(
            {
                "type": "red.verify",
                "timestamp": rfc3339(from_ms(int(at * 1000))),
                "data": {"subscription_id": row.subscription_id, "challenge": challenge},
            }
        )
        signed = self._headers(row, subscription, at, f"msg_{challenge}", body)
        outcome = await client.post(subscription.webhook_url, signed, body)
        if verdict(outcome) != "delivered":
            return outcome
        if challenge.encode() in outcome.body:
            return None
        return Outcome(None, f"answered {outcome.status} without the challenge of red.verify", outcome.ms)

    def _headers(
        self, row: Row, subscription: Subscription, at: float, webhook_id: str, body: bytes
    ) -> dict[str, str]:
        """The client's own headers and the three of the signature."""
        opening = partial(self._open_secret, row.client_id, purpose(row.subscription_id))
        own = opened(subscription.headers, opening)
        return own | headers(self._secrets(row, subscription, at), webhook_id, int(at), body)

    def _secrets(self, row: Row, subscription: Subscription, at: float) -> list[str]:
        return [
            self._open_secret(row.client_id, row.subscription_id, secret.encrypted)
            for secret in subscription.secrets
            if secret.until is None or secret.until > at * 1000
        ]
