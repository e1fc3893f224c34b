"""Every version of every subscription, from the accepted answers on `red.command-results`. Pure.

An answer carries the whole version and where it starts, so what the log implies never rests on live's
own tables.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from red_common.events import InvalidEvent, to_basis_points
from red_stats.domain import command_results
from red_stats.domain.subscriptions import PublicSubscription, Subscription, ThresholdVersion


class Version(NamedTuple):
    """One accepted version of a subscription: what it judged by and from which offset."""

    client_id: str
    subscription_id: str
    version: int
    enabled: bool
    threshold_bp: int
    since: int


class History:
    """Every version ever accepted; a repeated answer changes nothing."""

    def __init__(self) -> None:
        self._versions: dict[tuple[str, int], Version] = {}

    def add(self, value: bytes | None) -> None:
        """Take one record of red.command-results over; what is no accepted answer is skipped."""
        try:
            answer = command_results.decode(value)
        except InvalidEvent:
            return
        public, row = answer.subscription, answer.row
        if not isinstance(public, PublicSubscription):
            return
        version = row if isinstance(row, Subscription) else None
        self._versions[public.id, public.version] = Version(
            client_id=answer.client_id,
            subscription_id=public.id,
            version=public.version,
            enabled=version is not None and version.enabled and answer.ended is not True,
            threshold_bp=to_basis_points(version.threshold) if version is not None else 0,
            since=public.since,
        )

    def judges(self) -> Mapping[str, Sequence[ThresholdVersion]]:
        """By client: every enabled version with the range of offsets it judged, `[since, until)`."""
        chains: dict[str, list[Version]] = defaultdict(list)
        for version in sorted(self._versions.values(), key=lambda v: v.version):
            chains[version.subscription_id].append(version)
        judges: dict[str, list[ThresholdVersion]] = defaultdict(list)
        for chain in chains.values():
            ends = [following.since for following in chain[1:]] + [None]
            for version, until in zip(chain, ends, strict=True):
                if version.enabled and until != version.since:
                    judge = ThresholdVersion(*version[1:3], version.threshold_bp, version.since, until)
                    judges[version.client_id].append(judge)
        return judges
