"""Every version of every subscription, from the accepted answers on `red.command-results`. Pure.

An answer carries the whole version and where it starts, so what the log implies never rests on live's
own tables.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from red_common.events import InvalidEvent
from red_stats.domain import command_results
from red_stats.domain.command_results import ErasedUpTo
from red_stats.domain.erasure import NEVER, Erased
from red_stats.domain.subscriptions import PublicSubscription, ThresholdVersion


class Version(NamedTuple):
    """One accepted version of a subscription, from offset `since`; `raises` is None if it raises no alert."""

    client_id: str
    subscription_id: str
    version: int
    since: int
    raises: ThresholdVersion | None


class Erasure(NamedTuple):
    """The last erasure of a client: the offset of the command, what it erased, and of which subscriptions."""

    command_offset: int
    erased: Erased
    subscriptions: frozenset[str]


class History:
    """Every version ever accepted and not erased since; a record read twice changes nothing.

    `erasures` holds the last one of each client.
    """

    def __init__(self) -> None:
        self.erasures: dict[str, Erasure] = {}
        self._versions: dict[tuple[str, int], Version] = {}

    def add(self, value: bytes | None) -> None:
        """Apply one record of red.command-results; anything but an accepted command is skipped."""
        try:
            answer = command_results.decode(value)
        except InvalidEvent:
            return
        if isinstance(answer.erased, ErasedUpTo):
            self._erase(answer.client_id, answer.command_offset, answer.erased.erased)
        public, made = answer.subscription, answer.made
        if not isinstance(public, PublicSubscription):
            return
        self._versions[public.id, public.version] = Version(
            client_id=answer.client_id,
            subscription_id=public.id,
            version=public.version,
            since=public.since,
            raises=made.threshold_version if made is not None and made.raises else None,
        )

    def erased_of(self, client_id: str) -> Erased:
        """What of a client has been erased."""
        found = self.erasures.get(client_id)
        return NEVER if found is None else found.erased

    def _erase(self, client_id: str, command_offset: int, erased: Erased) -> None:
        before = self.erasures.get(client_id)
        if before is not None and before.command_offset >= command_offset:
            return  # the answer to a repeated command
        gone = {key for key, version in self._versions.items() if version.client_id == client_id}
        names = {name for name, _ in gone} | (before.subscriptions if before else set())
        self.erasures[client_id] = Erasure(command_offset, erased, frozenset(names))
        for key in gone:
            del self._versions[key]

    def active_versions(self) -> Mapping[str, Sequence[ThresholdVersion]]:
        """By client: every version that raises alerts, with the offsets it does so for, `[since, until)`."""
        chains: dict[str, list[Version]] = defaultdict(list)
        for version in sorted(self._versions.values(), key=lambda v: v.version):
            chains[version.subscription_id].append(version)
        active: dict[str, list[ThresholdVersion]] = defaultdict(list)
        for chain in chains.values():
            ends = [following.since for following in chain[1:]] + [None]
            for version, until in zip(chain, ends, strict=True):
                if version.raises is not None and until != version.since:
                    in_force = version.raises._replace(since=version.since, until=until)
                    active[version.client_id].append(in_force)
        return active
