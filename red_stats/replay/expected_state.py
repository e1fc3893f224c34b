"""What the log implies: folded from its beginning by the fold that live runs, and compared with it."""

from collections.abc import Mapping, Sequence

from red_stats.domain.alerts import Alert
from red_stats.domain.erasure import Erased
from red_stats.domain.measurement_columns import to_measurement_columns
from red_stats.domain.measurements import Measurement
from red_stats.domain.subscriptions import ThresholdVersion
from red_stats.domain.version_history import Erasure, History
from red_stats.tables.declarations import rows_of_client
from red_stats.tables.live import LiveTables
from red_stats.tables.measured_change import fold_measurements

Versions = Mapping[str, Sequence[ThresholdVersion]]  # by client_id
NOTHING_ERASED = History()


class ExpectedState:
    """One partition's log folded from its beginning: the tables that follow measurements as live has them.

    `touched` names the rows, as (table, changelog key), that changed since `note_touched`.
    """

    def __init__(self, partition: int, versions: Versions, retention_ms: int) -> None:
        self.tables = LiveTables()
        self.horizon = 0
        self.touched: set[tuple[str, bytes]] = set()
        self._versions = versions
        self._history = NOTHING_ERASED
        self._partition = partition
        self._retention_ms = retention_ms
        self._noting = False

    def use_history(self, history: History) -> None:
        """Set the versions for measurements folded from now on, and forget what has been erased since.

        What was folded of a client that the history before did not know as erased must lie below the offset
        that it is erased to.
        """
        self._versions = history.active_versions()
        for client_id, erasure in history.erasures.items():
            if self._history.erasures.get(client_id) != erasure:
                self._forget(client_id, erasure)
        self._history = history

    def _forget(self, client_id: str, erasure: Erasure) -> None:
        for name, key in list(rows_of_client(self.tables, client_id, erasure.subscriptions)):
            getattr(self.tables, name).load(key, None)

    def erased_of(self, client_id: str) -> Erased:
        """What of a client has been erased, by the history in use."""
        return self._history.erased_of(client_id)

    def note_touched(self) -> None:
        """From now on collect the rows that change in `touched`."""
        self._noting = True

    def add(self, readings: Sequence[Measurement]) -> None:
        """Fold the next readings, offsets ascending."""
        change = fold_measurements(
            to_measurement_columns(readings),
            self.tables,
            partition=self._partition,
            versions_of=lambda client_id: self._versions.get(client_id, ()),
            horizon=self.horizon,
            retention_ms=self._retention_ms,
            erased_of=self.erased_of,
        )
        self.horizon = change.folded.horizon
        change.apply(self.tables)
        self.raised(change.folded.alerts)
        if self._noting:
            self.touched.update((name, key) for name, one in change.tables.items() for key in one.rows)

    def raised(self, alerts: Sequence[Alert]) -> None:
        """Called with the alerts of each fold; ignored here, since they are on the topic already."""

    def prune(self, horizon: int) -> None:
        """Remove windows outside the retention at `horizon`, the newest Kafka time (ms), as live does."""
        rows = self.tables.windows
        rows.drop(rows.expired(horizon, self._retention_ms))


class ExpectedAlerts(ExpectedState):
    """With every alert that the log implies."""

    def __init__(self, partition: int, versions: Versions, retention_ms: int) -> None:
        super().__init__(partition, versions, retention_ms)
        self.alerts: dict[tuple[str, str], int] = {}  # subscription_id, position -> version
        self.owners: dict[str, str] = {}  # subscription_id -> client_id

    def raised(self, alerts: Sequence[Alert]) -> None:
        """Collect them."""
        for alert in alerts:
            event = alert.event
            self.alerts[event.subscription_id, event.position] = event.version
            self.owners[event.subscription_id] = alert.client_id
