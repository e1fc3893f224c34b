"""An alert explained from a real store that has not all of its parts yet."""

import pytest

from red_common.problems import Problem
from red_common.web.auth import CALLER
from red_stats.domain.recorded_tables import ALERTS
from red_stats.web.alerts import Alerts
from red_stats.web.parameters import Position
from tests.red_stats.web.place import PARTITION, Images, Resources, asking

START = 1_775_500_000_000


class NoSubscriptions:
    """The subscriptions in force: none."""

    def find(self, client_id, subscription_id):
        return None


class Stored(Resources):
    """Resources of a client whose subscriptions were deleted."""

    subscriptions = NoSubscriptions()


class Awaited:
    """A store that gets what it waits for from `come`; every question that waited is kept."""

    def __init__(self, come):
        self.come, self.asked = come, []

    async def stored(self, positions, request):
        assert request[CALLER].client_id == "a"
        self.asked.append(positions)
        self.come()


class Place:
    """Alerts about images of the client `a` in a store."""

    def __init__(self, store):
        self.store, self.images, self.count = store, Images(store, seed=40), 0

    def measured(self):
        """The offset of a new image of `a`."""
        self.images.add([START], clients="a")
        return self.images.of["a"][-1][2]

    def alerted(self, offset):
        """The id of a new alert about the image of an offset."""
        self.count += 1
        name = f"alert-{offset}-{self.count}"
        values = dict(zip(ALERTS.columns, ALERTS.empty, strict=True)) | {
            "client_id": "a", "subscription_id": "s", "seq": self.count, "id": name, "version": 1,
            "measured_at": START, "position": f"{PARTITION}:{offset}",
        }  # fmt: skip
        names = (*ALERTS.columns, "kafka_offset")
        self.store.insert("alerts", names, [[[one] for one in (*values.values(), self.count)]], name)
        return name

    async def explained(self, name, awaited):
        async with asking(Alerts(Stored(self.store), awaited), "subscriptions") as ask:
            return await ask(f"/v1/alerts/{name}")


@pytest.fixture(scope="module")
def place(store):
    return Place(store)


def nothing():
    return None


async def test_an_image_that_is_recorded_is_not_waited_for(place):
    offset, awaited = place.measured(), Awaited(nothing)
    status, found = await place.explained(place.alerted(offset), awaited)
    assert (status, found["measurement"]["position"]) == (200, f"{PARTITION}:{offset}")
    assert awaited.asked == []


async def test_an_alert_that_is_recorded_before_its_image_waits_for_it(place):
    """Alerts and images come from topics of their own, each at its pace."""
    offset = place.images.offset + 1
    name, awaited = place.alerted(offset), Awaited(place.measured)
    status, found = await place.explained(name, awaited)
    assert (status, found["measurement"]["position"]) == (200, f"{PARTITION}:{offset}")
    assert awaited.asked == [[Position(PARTITION, offset)]]


async def test_an_image_that_is_recorded_no_more_is_null(place):
    status, found = await place.explained(place.alerted(7), Awaited(nothing))
    assert (status, found["measurement"]) == (200, None)
    assert found["alert"]["position"] == f"{PARTITION}:7"


async def test_an_image_that_does_not_come_in_time_is_told_as_such(place):
    def late():
        raise Problem("not_yet", "too late")

    status, problem = await place.explained(place.alerted(8), Awaited(late))
    assert (status, problem["code"]) == (503, "not_yet")
