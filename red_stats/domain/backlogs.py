"""How many deliveries are kept as rows, and the alerts that stay in the log meanwhile. Pure."""

from typing import NamedTuple

import msgspec

from red_stats.domain.bounds import Count32, Count63


class Limits(NamedTuple):
    """Rows of pending deliveries: at most `endpoint` of one endpoint, `shared + 100 * own` of one client.

    The first `own` rows of every endpoint are its own, so that endpoints that do not answer take no room
    from the others of their client.
    """

    endpoint: int
    own: int
    shared: int


class Backlog(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The alerts of a subscription without a row, among the records `first` to `last` of red.alerts.

    `closed`: a later alert waits for a digest. The records up to any after that would hold it, too, so no
    alert may join any more.
    """

    client_id: str
    first: Count63
    last: Count63
    alerts: Count32
    closed: bool = False


def room(of_endpoint: int, of_client: int, limits: Limits) -> int:
    """How many rows more an endpoint may have, beside those that it and its client have."""
    shared = min(limits.endpoint - of_endpoint, limits.shared - of_client)
    return max(limits.own - of_endpoint, shared, 0)


def is_worth_reading(of_endpoint: int, of_client: int, limits: Limits) -> bool:
    """Whether there is room for so many rows that a pass over the log pays, or the endpoint soon has none."""
    free = room(of_endpoint, of_client, limits)
    return free >= limits.endpoint // 4 or (free > 0 and of_endpoint <= limits.own // 2)


def extended(backlog: Backlog | None, client_id: str, offset: int) -> Backlog:
    """A backlog, or a new one, with the alert of a record behind it."""
    if backlog is None:
        return Backlog(client_id=client_id, first=offset, last=offset, alerts=1)
    return msgspec.structs.replace(backlog, last=offset, alerts=backlog.alerts + 1)


def closed(backlog: Backlog) -> Backlog:
    """The backlog once an alert behind it waits for a digest."""
    return msgspec.structs.replace(backlog, closed=True)


def shortened(backlog: Backlog, first: int, taken: int) -> Backlog | None:
    """What is left once `taken` alerts before the offset `first` have rows; None: nothing."""
    if first > backlog.last:
        return None
    return msgspec.structs.replace(backlog, first=first, alerts=max(backlog.alerts - taken, 1))
