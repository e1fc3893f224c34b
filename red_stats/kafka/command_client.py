"""Sends a command to `red.subscription-commands` and waits for its result on `red.command-results`."""

import asyncio
from typing import Any

import orjson

from red_common.events import InvalidEvent
from red_common.kafka.connection import KafkaConnection
from red_common.kafka.follower import Follower
from red_common.problems import Problem
from red_common.web.idempotency_key import reused
from red_stats import topics
from red_stats.domain import command_results
from red_stats.kafka.record_sender import NotSent, RecordSender

SECONDS = 5.0


class CommandClient:
    """Works in any process: the answer carries the command_id, whichever worker decides the command."""

    def __init__(self, connection: KafkaConnection, sender: RecordSender, seconds: float = SECONDS) -> None:
        self.follower = Follower(connection, topics.COMMAND_RESULTS, self._answered, from_end=True)
        self._sender = sender
        self._seconds = seconds
        self._waiting: dict[tuple[str, str], list[asyncio.Future[dict[str, Any]]]] = {}

    async def ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Send a command and return its accepted result; the same command_id again gets the same result.

        Raises:
            Problem: the command was rejected; 422, its command_id came before with another fingerprint; 503
                `command_pending` without a result within `seconds`.
        """
        command_id = str(command["command_id"])
        asked = str(command["client_id"]), command_id
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(asked, []).append(waiting)
        try:
            async with asyncio.timeout(self._seconds):
                value = orjson.dumps(command)
                await self._sender.send(topics.SUBSCRIPTION_COMMANDS, command["client_id"], value)
                answer = await waiting
        except (TimeoutError, NotSent) as error:
            detail = "The command has no result yet; check whether it took effect before you repeat it."
            raise Problem("command_pending", detail, command_id=command_id) from error
        finally:
            self._waiting[asked].remove(waiting)
            if not self._waiting[asked]:
                del self._waiting[asked]
        if answer.get("fingerprint", "") != command.get("fingerprint", ""):
            raise reused()
        if answer["status"] == "rejected":
            raise Problem.from_dict(answer["problem"])
        return dict(answer)

    def _answered(self, record: Any) -> None:
        if not self._waiting:
            return
        try:
            result = command_results.decode(record.value)
        except InvalidEvent:  # somebody else's
            return
        waiting = self._waiting.get((result.client_id, result.command_id))
        if not waiting:
            return
        answer = orjson.loads(record.value)
        for one in waiting:
            if not one.done():
                one.set_result(answer)
