"""Readiness looks at Kafka and the image store at most once a second, whoever asks how often."""

import asyncio
import json

import pytest

from red_common.problems import Problem
from red_service.web.health import VALID_SECONDS, Health


class Checked:
    def __init__(self, answer=None):
        self.calls, self.answer, self.go = 0, answer, asyncio.Event()

    async def __call__(self):
        self.calls += 1
        await self.go.wait()
        return self.answer


def health(check, now):
    return Health({"kafka": check}, update_gauges=lambda: None, metrics_public=False, now=now)


async def test_many_questions_at_once_and_within_a_second_are_one_check():
    times, check = [0.0], Checked()
    asked = health(check, lambda: times[0])
    waiting = [asyncio.create_task(asked.ready(None)) for _ in range(10)]
    await asyncio.sleep(0)
    waiting.pop().cancel()  # who leaves takes nothing from the others
    check.go.set()
    for answer in await asyncio.gather(*waiting):
        assert json.loads(answer.body) == {"status": "ready", "checks": {"kafka": True}}
    times[0] = VALID_SECONDS - 0.01
    await asked.ready(None)
    assert check.calls == 1
    times[0] = VALID_SECONDS
    await asked.ready(None)
    assert check.calls == 2


async def test_a_failure_is_told_to_all_who_ask_within_a_second():
    check = Checked("away")
    check.go.set()
    asked = health(check, lambda: 0.0)
    for _ in range(2):
        with pytest.raises(Problem, match="kafka: away"):
            await asked.ready(None)
    assert check.calls == 1
