"""Live's table of subscriptions of one partition."""

from red_stats.domain.subscription_lists import VersionLists


class ThresholdRows(VersionLists):
    """The list of each client, with its versions; the changelog of this table *is* `red.subscriptions`."""
