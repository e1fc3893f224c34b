"""How the refusals of a client are spaced."""

import pytest

from red_common.refusal_pacing import RefusalPacing


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_refusals_to_a_client_that_asks_again_at_once_are_spaced_out():
    clock = Clock()
    pacing = RefusalPacing(clock)
    assert pacing.delay_seconds("c") == 0
    assert pacing.delay_seconds("c") == pytest.approx(0.02)
    assert pacing.delay_seconds("other") == 0
    waits = [pacing.delay_seconds("c") for _ in range(200)]
    assert max(waits) == pytest.approx(1.0)
    clock.now += 2
    assert pacing.delay_seconds("c") == 0
