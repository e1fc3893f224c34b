"""The tables of role deliver."""

from dataclasses import dataclass

from red_stats import topics
from red_stats.tables.backlogs import Backlogs
from red_stats.tables.declarations import table
from red_stats.tables.pending_deliveries import PendingRows
from red_stats.tables.proven_endpoints import ProvenEndpoints


@dataclass(slots=True)
class DeliverTables:
    """What role deliver holds for one partition."""

    pending: PendingRows = table(topics.PENDING_CHANGELOG, PendingRows)
    backlogs: Backlogs = table(topics.BACKLOGS_CHANGELOG, Backlogs)
    proven: ProvenEndpoints = table(topics.PROVEN_CHANGELOG, ProvenEndpoints)
