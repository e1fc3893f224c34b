"""Subscriptions and answers folded anew from `red.command-results`, which keeps every answer. Pure."""

from collections import OrderedDict
from typing import Any

import msgspec

from red_stats.domain.subscriptions import Client, Subscription, closed_at, still_needed


class _Public(msgspec.Struct):
    id: str
    in_force_from: str


class _Answer(msgspec.Struct):
    command_id: str
    client_id: str
    status: str
    command_position: str
    subscription: _Public | None = None
    row: Subscription | None = None
    ended: bool = False


class Answered:
    """One partition's answers in their order: each client's list, and the answers remembered."""

    def __init__(self, remembered: int) -> None:
        self.clients: dict[str, Client] = {}
        self.answers: dict[str, OrderedDict[str, bytes]] = {}
        self._remembered = remembered

    def add(self, value: bytes | None) -> None:
        """Take one record over; an answer given a second time changes nothing.

        Raises:
            msgspec.MsgspecError: it is no answer; nobody but live writes there.
        """
        answer = msgspec.json.decode(value or b"", type=_Answer)
        given = self.answers.setdefault(answer.client_id, OrderedDict())
        if answer.command_id in given:
            return
        given[answer.command_id] = value or b""
        if len(given) > self._remembered:
            given.popitem(last=False)
        offset = int(answer.command_position.partition(":")[2])
        client = self.clients.get(answer.client_id) or Client(client_id=answer.client_id, offset=-1)
        if answer.status == "accepted" and answer.subscription is not None and offset > client.offset:
            self.clients[answer.client_id] = _changed(client, answer, answer.subscription, offset)

    def pruned(self, mark: int) -> dict[str, Client]:
        """The lists without the ranges that the mark of the measurements has passed."""
        return {
            name: msgspec.structs.replace(client, past=still_needed(client.past, mark))
            for name, client in self.clients.items()
        }


def _changed(client: Client, answer: _Answer, public: _Public, offset: int) -> Client:
    old, new = client.find(public.id), None if answer.ended else answer.row
    since = int(public.in_force_from.partition(":")[2])
    changes: dict[str, Any] = {"offset": offset}
    if old is None:
        changes["subscriptions"] = (*client.subscriptions, *([new] if new else []))
    else:
        listed = [new if s.id == old.id else s for s in client.subscriptions]
        changes["subscriptions"] = tuple(s for s in listed if s is not None)
        changes["past"] = (*client.past, *closed_at(old, since))
    return msgspec.structs.replace(client, **changes)
