"""What the log implies, folded from its beginning: the other side of every comparison of `verify`. Pure.

Subscription versions come from the accepted answers on `red.command-results`, which carry the whole
version and where it starts; never from live's own tables.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from red_common.events import InvalidEvent, to_basis_points
from red_stats.domain import command_results, windows
from red_stats.domain.alerts import Alert
from red_stats.domain.counting import fold
from red_stats.domain.measurement_columns import to_measurement_columns
from red_stats.domain.measurements import Measurement
from red_stats.domain.subscriptions import PublicSubscription, Subscription, ThresholdVersion
from red_stats.domain.windows import Window

PRUNE_EVERY = 200_000


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


class ExpectedState:
    """One partition's log folded from its beginning: windows and alert sequences as live has them."""

    def __init__(
        self, partition: int, judges: Mapping[str, Sequence[ThresholdVersion]], retention_ms: int
    ) -> None:
        self.windows: dict[str, dict[int, Window]] = defaultdict(dict)  # client_id, minute
        self.sequences: dict[str, int] = {}  # subscription_id -> last seq
        self.judges = judges
        self.horizon = 0
        self._partition = partition
        self._retention_ms = retention_ms
        self._since_prune = 0

    def judge_by(self, judges: Mapping[str, Sequence[ThresholdVersion]]) -> None:
        """Versions, by client, for what is folded from now on."""
        self.judges = judges

    def add(self, readings: Sequence[Measurement]) -> None:
        """Fold the next readings, offsets ascending."""
        folded = fold(
            to_measurement_columns(readings),
            partition=self._partition,
            key_of=lambda client_id, minute: (client_id, minute),
            window_of=self._window,
            active_versions=self._judges_of,
            seq_of=self.sequences,
            horizon=self.horizon,
            retention_ms=self._retention_ms,
        )
        self.horizon = folded.horizon
        for (client_id, minute), window in folded.windows.items():
            self.windows[client_id][minute] = window
        self.sequences.update(folded.sequences)
        self.raised(folded.alerts)
        self._since_prune += len(readings)
        if self._since_prune >= PRUNE_EVERY:
            self.prune(self.horizon)

    def raised(self, alerts: Sequence[Alert]) -> None:
        """The alerts of what was just folded: they stand in the log already."""

    def prune(self, horizon: int) -> None:
        """Forget windows that the newest Kafka time (ms) has left behind the retention, as live does."""
        self._since_prune = 0
        for client_id, held in list(self.windows.items()):
            for minute in [m for m in held if windows.is_expired(m, horizon, self._retention_ms)]:
                del held[minute]
            if not held:
                del self.windows[client_id]

    def _window(self, place: tuple[str, int]) -> Window:
        client_id, minute = place
        held = self.windows.get(client_id)
        return windows.EMPTY if held is None else held.get(minute, windows.EMPTY)

    def _judges_of(self, client_id: str) -> Sequence[ThresholdVersion]:
        return self.judges.get(client_id, ())


class ExpectedAlerts(ExpectedState):
    """With every alert that the log implies."""

    def __init__(
        self, partition: int, judges: Mapping[str, Sequence[ThresholdVersion]], retention_ms: int
    ) -> None:
        super().__init__(partition, judges, retention_ms)
        self.alerts: dict[tuple[str, str], int] = {}  # subscription_id, position -> version
        self.owners: dict[str, str] = {}  # subscription_id -> client_id

    def raised(self, alerts: Sequence[Alert]) -> None:
        """Keep them."""
        for alert in alerts:
            event = alert.event
            self.alerts[event.subscription_id, event.position] = event.version
            self.owners[event.subscription_id] = alert.client_id


def difference(
    kind: str, missing: Iterable[Any], extra: Iterable[Any], **where: Any
) -> dict[str, Any] | None:
    """One entry of `differences`: what one side lacks and has too much; None when equal."""
    missing, extra = list(missing), list(extra)
    if not missing and not extra:
        return None
    return {
        "kind": kind,
        **where,
        "missing": len(missing),
        "extra": len(extra),
        "examples": [*missing[:5], *extra[:5]],
    }
