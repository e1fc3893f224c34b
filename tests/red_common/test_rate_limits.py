"""How much of something everybody may have."""

import pytest

from red_common.rate_limits import RateLimits


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_a_client_may_send_its_burst_and_then_at_its_rate():
    clock = Clock()
    limits = RateLimits("images", 10, 3, clock)
    for left in (3, 2, 1):
        assert limits.wait_seconds("c") == 0
        assert limits.headers("c")["RateLimit"].startswith(f'"images";r={left};')
        limits.charge("c", 1)
    assert limits.wait_seconds("c") == pytest.approx(0.1)
    assert limits.wait_seconds("other") == 0
    clock.now += 0.1
    assert limits.wait_seconds("c") == 0


def test_many_parts_are_a_debt_that_delays_later_images():
    limits = RateLimits("images", 10, 3, Clock())
    limits.charge("c", 16)
    assert limits.wait_seconds("c") == pytest.approx(1.4)


def test_no_rate_is_no_limit_and_no_header():
    limits = RateLimits("images", 0, 1, Clock())
    limits.charge("c", 10**6)
    assert (limits.wait_seconds("c"), limits.headers("c")) == (0, {})
