"""The share of each client in the memory for bodies, whatever is claimed and given back in which order."""

from collections import Counter
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from red_common.problems import Problem
from red_service.settings import MAX_BODY, MIN_BODIES, Settings
from red_service.web.body_memory import BodyMemory

LIMIT = 1000
HOSTILE = [f"hostile-{number}" for number in range(4)]

#: A client takes so many bytes more for one of its requests, or the request ends.
claims = st.tuples(st.sampled_from(HOSTILE), st.integers(0, 3), st.integers(0, 400))
ends = st.tuples(st.sampled_from(HOSTILE), st.integers(0, 3), st.none())


def played(steps, memory, check=lambda held: None):
    """What each client holds after the steps, as the requests that are still open count it."""
    with ExitStack() as stack:
        requests, shares = {}, {}
        for client, number, size in steps:
            which = client, number
            if size is None:
                if which in requests:
                    requests.pop(which).close()
                    del shares[which]
            else:
                if which not in requests:
                    requests[which] = stack.enter_context(ExitStack())
                    shares[which] = requests[which].enter_context(memory.share(client))
                with suppress(Problem):
                    shares[which].claim(size)
            held = Counter()
            for (owner, _), share in shares.items():
                held[owner] += share.held
            check(+held)
    assert memory.held == 0


@given(st.lists(st.one_of(claims, ends), max_size=60))
def test_bodies_never_hold_more_than_the_limit_and_those_of_one_client_never_more_than_half(steps):
    memory = BodyMemory(LIMIT)

    def check(held):
        assert memory.held == sum(held.values()) <= LIMIT
        assert all(one <= LIMIT // 2 for one in held.values())

    played(steps, memory, check)


@given(st.lists(st.one_of(claims, ends), max_size=60))
def test_an_honest_client_is_let_in_whatever_the_others_hold(steps):
    memory = BodyMemory(LIMIT)

    def check(held):
        room = LIMIT / 2 ** len(held)  # a half for the first, a quarter for the second, and so on
        assert LIMIT - memory.held >= int(room)
        with memory.share("honest") as share:
            share.claim(int(room / 2))

    played(steps, memory, check)


@given(st.lists(st.one_of(claims, ends), max_size=60))
def test_the_end_of_a_body_takes_nothing_and_is_never_refused(steps):
    memory = BodyMemory(LIMIT)
    with memory.share("early") as share:
        share.claim(LIMIT // 2)
        played_beside(steps, memory, share)


def played_beside(steps, memory, share):
    with ExitStack() as stack:
        for client, _, size in steps:
            with suppress(Problem):
                stack.enter_context(memory.share(client)).claim(size or 1)
            share.claim(0)


def test_a_client_alone_may_send_a_whole_body_under_every_setting():
    for settings in (Settings(body_memory=MIN_BODIES), Settings(servers=64)):
        memory = BodyMemory(settings.bodies)
        with memory.share("alone") as share:
            share.claim(MAX_BODY)
            with pytest.raises(Problem, match="overloaded"):
                share.claim(settings.bodies // 2)
