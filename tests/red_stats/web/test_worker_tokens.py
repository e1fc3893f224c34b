"""A worker's token is good for one address, about one client, for a minute."""

import pytest
from aiohttp.test_utils import make_mocked_request

from red_common.secret_keys import SecretKeys
from red_stats.web.worker_tokens import HEADER, SCOPE, VALID_SECONDS, WorkerTokens

KEYS = SecretKeys([b"a" * 32])
TARGET = "/v1/live?at_least=3:17"


def asked(token, target=TARGET):
    return make_mocked_request("GET", target, headers={HEADER: token})


def tokens(keys=KEYS, now=1000.0):
    return WorkerTokens(keys, lambda: now)


@pytest.mark.parametrize("client_id", ["anna", ""])
def test_a_token_speaks_for_one_client(client_id):
    caller = tokens().caller_of(asked(tokens().new(client_id, TARGET)))
    assert caller.client_id == client_id
    assert SCOPE in caller.scopes
    assert not caller.may("admin")


@pytest.mark.parametrize("seconds", [VALID_SECONDS + 1, -VALID_SECONDS - 1])
def test_a_token_is_good_for_a_minute(seconds):
    token = tokens().new("anna", TARGET)
    assert tokens(now=1000.0 + seconds).caller_of(asked(token)) is None


@pytest.mark.parametrize("other", ["/v1/live?at_least=3:18", "/v1/live", "/v1/live/passed?at_least=3:17"])
def test_a_token_is_good_for_one_address(other):
    assert tokens().caller_of(asked(tokens().new("anna", TARGET), other)) is None


def test_nobody_else_can_make_or_change_one():
    token = tokens().new("anna", TARGET)
    about, _, signature = token.rpartition("/")
    forged = tokens(SecretKeys([b"b" * 32])).new("anna", TARGET)
    for odd in (forged, f"1000/eve/{signature}", f"1001/anna/{signature}", about, "", "/", "x/y/z"):
        assert tokens().caller_of(asked(odd)) is None
