"""The subscriptions of every client of one partition; their changelog IS red.subscriptions."""

from red_stats.domain.subscription_lists import VersionLists


class ThresholdRows(VersionLists):
    """Each client's whole list; the changelog of this table IS red.subscriptions."""
