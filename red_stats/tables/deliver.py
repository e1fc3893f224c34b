"""The tables of role deliver."""

from collections.abc import Collection
from dataclasses import dataclass

from red_stats import topics
from red_stats.tables.backlogs import Backlogs
from red_stats.tables.declarations import table
from red_stats.tables.digests import Digests
from red_stats.tables.failing_endpoints import FailingEndpoints
from red_stats.tables.pending_deliveries import PendingRows
from red_stats.tables.proven_endpoints import ProvenEndpoints


@dataclass(slots=True)
class DeliverTables:
    """What role deliver holds for one partition."""

    pending: PendingRows = table(topics.PENDING_CHANGELOG, PendingRows)
    backlogs: Backlogs = table(topics.BACKLOGS_CHANGELOG, Backlogs)
    proven: ProvenEndpoints = table(topics.PROVEN_CHANGELOG, ProvenEndpoints)
    digests: Digests = table(topics.DIGESTS_CHANGELOG, Digests)
    failing: FailingEndpoints = table(topics.FAILING_CHANGELOG, FailingEndpoints)

    @property
    def clients(self) -> tuple[Collection[str], ...]:
        """The clients that each of the tables has rows of."""
        backlogs = {backlog.client_id for backlog in self.backlogs.values()}
        return self.pending.clients, backlogs, self.proven.of, self.digests.of, self.failing.of
