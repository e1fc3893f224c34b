"""Deliveries of alerts made again from what the store has of their alerts: the same ids and bytes."""

from collections.abc import Sequence
from typing import Final

from red_stats.domain.deliveries import Row
from red_stats.domain.digests import LISTED
from red_stats.domain.redelivery import Digested, Ended, alert_again, alert_of, digest_again
from red_stats.resources import Resources
from red_stats.store import recovery
from red_stats.store.recovery import Delivery

SLICE: Final = 1000  # names in one question, records in one send


class MadeAgain:
    """Makes rows of deliveries that the store knows."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def rows(self, client_id: str, subscription_id: str, ended: Sequence[Delivery]) -> list[Row]:
        """The deliveries as they were made; those are left out whose alerts the store does not have."""
        alone = [one for one in ended if one.kind == "alert"]
        digests = sorted((one for one in ended if one.kind == "digest"), key=lambda one: one.first)
        made = dict[str, Row]()
        for start in range(0, len(alone), SLICE):
            made |= await self._alerts_again(client_id, alone[start : start + SLICE])
        for start in range(0, len(digests), SLICE):
            made |= await self._digests_again(client_id, subscription_id, digests[start : start + SLICE])
        return [made[one.id] for one in ended if one.id in made]

    async def _alerts_again(self, client_id: str, ended: Sequence[Delivery]) -> dict[str, Row]:
        erased, of_alerts = self._resources.erased_of(client_id), {one.alert_id: one for one in ended}
        question = recovery.alerts_by_id(client_id, list(of_alerts), erased)
        found = dict[str, Row]()
        for alert in map(alert_of, await self._resources.ask_for(client_id, question)):
            one = of_alerts[alert.id]
            found[one.id] = alert_again(client_id, alert, Ended(one.attempts, one.made))
        return found

    async def _digests_again(
        self, client_id: str, subscription_id: str, ended: Sequence[Delivery]
    ) -> dict[str, Row]:
        """The digests of which every alert is recorded: of the others nobody knows the bytes."""
        ranges, erased = [(one.first, one.last) for one in ended], self._resources.erased_of(client_id)
        about = client_id, subscription_id, ranges, erased
        ask = self._resources.ask_for
        amounts = {row[0]: row[1:] for row in await ask(client_id, recovery.amounts_of_digests(*about))}
        rows = await ask(client_id, recovery.listed_of_digests(*about))
        alerts = {alert.seq: alert for alert in map(alert_of, rows)}
        found = dict[str, Row]()
        for one in ended:
            number, highest = amounts.get(one.first, (0, 0))
            if not number == one.alerts == one.last - one.first + 1:
                continue
            listed = [alerts[seq] for seq in range(one.first, min(one.first + LISTED, one.last + 1))]
            last = alerts[one.last]
            digested = Digested(
                one.alerts, one.first, one.last, listed[0].measured_ms, last.measured_ms, highest
            )
            found[one.id] = digest_again(client_id, digested, listed, last, Ended(one.attempts, one.made))
        return found
