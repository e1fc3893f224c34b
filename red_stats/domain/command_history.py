"""Subscriptions and answers folded again from `red.command-results`, which keeps every result. Pure."""

from collections import OrderedDict
from typing import Any

import msgspec

from red_stats.domain import command_results
from red_stats.domain.command_results import CommandResult, ErasedUpTo
from red_stats.domain.commands import MISPLACED
from red_stats.domain.subscriptions import Client, PublicSubscription, closed_at, still_needed


class CommandHistory:
    """One partition's results in log order: each client's list, and the answers it is given again."""

    def __init__(self) -> None:
        self.clients: dict[str, Client] = {}
        self.answers: dict[str, OrderedDict[str, bytes]] = {}

    def add(self, value: bytes | None) -> None:
        """Fold one record; an answer given a second time changes nothing.

        Raises:
            InvalidEvent: the value is no command result; only role live writes there.
        """
        answer = command_results.decode(value)
        problem = answer.problem
        if not isinstance(problem, msgspec.UnsetType) and (
            problem["code"] in MISPLACED or not command_results.is_remembered(problem["status"])
        ):
            return
        given = self.answers.setdefault(answer.client_id, OrderedDict())
        if answer.command_id in given:
            return
        if isinstance(answer.erased, ErasedUpTo):
            given.clear()
        given[answer.command_id] = value or b""
        for command_id in command_results.forgotten(given):
            del given[command_id]
        offset = answer.command_offset
        client = self.clients.get(answer.client_id) or Client(client_id=answer.client_id, offset=-1)
        if isinstance(answer.erased, ErasedUpTo) and offset > client.offset:
            erased = answer.erased.erased
            self.clients[answer.client_id] = Client(client_id=answer.client_id, offset=offset, erased=erased)
        if isinstance(answer.subscription, PublicSubscription) and offset > client.offset:
            self.clients[answer.client_id] = _changed(client, answer, answer.subscription, offset)

    def pruned(self, mark: int) -> dict[str, Client]:
        """The lists by client_id, without the ranges that the mark of the measurements has passed."""
        return {
            name: msgspec.structs.replace(client, past=still_needed(client.past, mark))
            for name, client in self.clients.items()
        }


def _changed(client: Client, answer: CommandResult, public: PublicSubscription, offset: int) -> Client:
    old = client.find(public.id)
    new = answer.made
    changes: dict[str, Any] = {"offset": offset}
    if old is None:
        changes["subscriptions"] = (*client.subscriptions, *([new] if new else []))
    else:
        listed = [new if s.id == old.id else s for s in client.subscriptions]
        changes["subscriptions"] = tuple(s for s in listed if s is not None)
        changes["past"] = (*client.past, *closed_at(old, public.since))
    return msgspec.structs.replace(client, **changes)
