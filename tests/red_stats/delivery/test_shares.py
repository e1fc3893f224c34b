"""Who may POST next: nobody has more than its share, and nobody who has room is left waiting."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_stats.delivery.endpoint_queue import WIDTH, EndpointQueue
from red_stats.delivery.shares import LIMITS, Kind, Shares

CLIENTS, HOSTS, ENDPOINTS = "abc", "xyz", 8
FEW = {Kind.ALL: 9, Kind.HOST: 6, Kind.CLIENT: 5}


class Endpoints:
    """Queues of endpoints that are started as the dispatcher does."""

    def __init__(self, limits):
        self.limits = limits
        self.shares = Shares(limits)
        self.queues, self.client, self.host = {}, {}, {}
        self.posts = {}  # under way or not committed yet, by id: the endpoint
        self.started = []

    def add(self, key, client, host, count=1):
        self.queues.setdefault(key, EndpointQueue((1.0,)))
        self.client[key], self.host[key] = client, host
        for _ in range(count):
            self.queues[key].push(f"{key}/{len(self.started)}/{self.queues[key]._order}", due=0, at=0)
        self.pump(key)

    def line_up(self, key):
        if self.is_due(key):
            self.shares.wait(key, self.client[key], self.host[key])
        else:
            self.shares.forget(key)

    def is_due(self, key):
        return self.queues[key].next_at() is not None

    def pump(self, *keys):
        for key in keys:
            self.line_up(key)
        while (key := self.shares.next_key()) is not None:
            if self.shares.has_room(self.client[key], self.host[key]):
                popped = self.queues[key].pop(0)
                self.queues[key].began()
                self.shares.begin(popped.delivery_id, self.client[key], self.host[key], ahead=0)
                self.posts[popped.delivery_id] = key
                self.started.append(key)
            self.line_up(key)

    def end(self, name):
        key = self.posts.pop(name)
        assert self.shares.end([name]) == {name: 0}
        self.queues[key].ended()
        self.pump(key)

    def move(self, key, host):
        self.host[key] = host
        for name in [name for name, of in self.posts.items() if of == key]:
            self.shares.move(name, host)
        self.pump(key)

    def revoke(self, key):
        self.queues[key].clear()
        self.shares.forget(key)

    def check(self):
        slots = self.shares._slots
        assert slots.keys() == self.posts.keys()
        assert len(slots) <= self.limits[Kind.ALL]
        for kind, taken in (
            (Kind.CLIENT, Counter(slot.client for slot in slots.values())),
            (Kind.HOST, Counter(slot.host for slot in slots.values())),
        ):
            assert all(count <= self.limits[kind] for count in taken.values())
        assert all(count <= WIDTH for count in Counter(self.posts.values()).values())
        for key in self.queues:
            waits = self.is_due(key)
            assert waits == (key in self.shares._waiting)
            assert not (waits and self.shares.has_room(self.client[key], self.host[key]))


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "end", "end", "move", "revoke"]),
        st.integers(0, ENDPOINTS - 1),
        st.sampled_from(HOSTS),
        st.integers(1, 6),
    ),
    max_size=60,
)


@given(steps)
def test_nobody_exceeds_its_share_and_whoever_has_room_and_something_due_is_started(steps):
    endpoints = Endpoints(FEW)
    for what, key, host, number in steps:
        if what == "add":
            client = CLIENTS[key % len(CLIENTS)]
            endpoints.add(key, client, endpoints.host.get(key, host), number)
        elif what == "end" and endpoints.posts:
            endpoints.end(list(endpoints.posts)[key % len(endpoints.posts)])
        elif what == "move" and key in endpoints.queues:
            endpoints.move(key, host)
        elif what == "revoke" and key in endpoints.queues:
            endpoints.revoke(key)
        endpoints.check()
    while endpoints.posts:
        endpoints.end(next(iter(endpoints.posts)))
        endpoints.check()
    assert not any(endpoints.is_due(key) for key in endpoints.queues)
    assert endpoints.shares._rooms == endpoints.shares._waiting == {}


def test_of_256_posts_a_client_has_at_most_an_eighth_and_so_has_a_host():
    assert LIMITS == {Kind.ALL: 256, Kind.CLIENT: 32, Kind.HOST: 32}


@pytest.mark.parametrize("is_one_host", [True, False])
def test_a_thousand_waiting_endpoints_of_one_client_come_no_sooner_than_another_ones_only_one(is_one_host):
    endpoints = Endpoints({Kind.ALL: 4 if not is_one_host else 9, Kind.HOST: 4, Kind.CLIENT: 4})
    for number in range(1000):
        endpoints.add(("many", number), "many", "x" if is_one_host else f"h{number}")
    endpoints.add("few", "few", "x" if is_one_host else "other")
    endpoints.add("none", "none", "x" if is_one_host else "another")
    assert len(endpoints.posts) == 4

    for _ in range(2):
        endpoints.end(next(iter(endpoints.posts)))

    assert endpoints.started[4:] == ["few", "none"]


def test_clients_that_wait_take_turns_whoever_makes_the_room():
    endpoints = Endpoints({Kind.ALL: 8, Kind.HOST: 8, Kind.CLIENT: 4})
    for client in "abcd":
        for number in range(20):
            endpoints.add((client, number), client, f"{client}{number}", count=3)

    for _ in range(40):
        a = next((name for name, key in endpoints.posts.items() if key[0] == "a"), None)
        endpoints.end(a or next(iter(endpoints.posts)))

    shares = Counter(key[0] for key in endpoints.started[8:])
    assert max(shares.values()) - min(shares.values()) <= 8
    assert min(shares.values()) >= 6


def test_a_queue_whose_host_has_changed_waits_for_the_new_one_only():
    endpoints = Endpoints({Kind.ALL: 9, Kind.HOST: 1, Kind.CLIENT: 9})
    endpoints.add("first", "a", "x")
    endpoints.add("second", "b", "x")
    assert endpoints.started == ["first"]
    endpoints.move("second", "y")
    assert endpoints.started == ["first", "second"]


def test_a_post_that_turns_out_to_go_elsewhere_takes_room_there_or_none():
    shares = Shares({Kind.ALL: 9, Kind.HOST: 1, Kind.CLIENT: 9})
    shares.begin("1", "a", "", 0)
    shares.begin("2", "b", "x", 0)
    assert not shares.move("1", "x")
    assert shares.move("1", "y")
    assert [shares.has_room("c", host) for host in ("", "x", "y")] == [True, False, False]


def test_a_queue_that_waits_keeps_its_place_when_more_falls_due():
    endpoints = Endpoints({Kind.ALL: 1, Kind.HOST: 1, Kind.CLIENT: 1})
    for name in ("first", "second", "third", "second"):
        endpoints.add(name, name, name)

    endpoints.end(next(iter(endpoints.posts)))

    assert endpoints.started == ["first", "second"]
