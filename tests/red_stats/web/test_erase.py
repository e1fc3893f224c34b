"""Who is to be erased: any client of whom anything is known, also one that was erased in part."""

from types import SimpleNamespace

import pytest

from red_common.api_keys import Keyring, new_key
from red_stats.domain.erasure import NEVER
from red_stats.domain.subscriptions import Client
from red_stats.web.erase import Erase
from tests.services import SECRET_KEYS

NOW = "2026-01-01T00:00:00.000Z"


class Resources:
    """What is known: `rows` in each table of the store, keys, erased clients, and lists of subscriptions."""

    def __init__(self, rows=0):
        self.rows, self.keyring, self.clients = rows, Keyring(SECRET_KEYS), {}
        self.subscriptions = SimpleNamespace(get=self.clients.get)

    def erased_of(self, client_id):
        return NEVER

    async def ask(self, question):
        return [(self.rows,)]


async def ask(command):
    raise AssertionError("nobody was to be erased")


async def found(resources):
    return await Erase(resources, ask)._found("anna")


async def test_a_client_of_whom_nothing_is_known_cannot_be_erased():
    assert await found(Resources()) is None


@pytest.mark.parametrize("known", ["rows", "key", "list", "erased"])
async def test_whoever_anything_is_known_of_can_be_erased(known):
    resources = Resources(rows=int(known == "rows"))
    if known == "key":
        record, _ = new_key("anna", ("measure",), NOW, SECRET_KEYS)
        resources.keyring.records[record.key_id] = record
    elif known == "list":
        resources.clients["anna"] = Client(client_id="anna", offset=0, subscriptions=())
    elif known == "erased":  # its keys were ended, and then Kafka was away
        resources.keyring.erased["anna"] = NOW

    assert await found(resources) is not None
