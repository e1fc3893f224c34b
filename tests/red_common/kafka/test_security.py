"""Clients of a Kafka with locks: who gets in, and how it is told where one does not."""

import logging

import pytest

from red_common.kafka.connection import KafkaConnection, KafkaError
from red_common.kafka.refusals import refusal
from red_common.kafka.security import KafkaSecurity
from red_stats.kafka.readiness import write_and_read
from tests.conftest import free_port
from tests.locked_kafka import EVERYTHING, SCRAM, Authority, a_locked_kafka

pytestmark = pytest.mark.system
PASSWORD = "pass-word"


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    with a_locked_kafka(
        tmp_path_factory.mktemp("locked"), {EVERYTHING: PASSWORD, "nobody": PASSWORD}
    ) as broker:
        yield broker


def a_connection(locked, door="SASL_SSL", **changes):
    given = {"protocol": door}
    if door.startswith("SASL"):
        given |= {"mechanism": "PLAIN", "username": EVERYTHING, "password": PASSWORD}
    if door.endswith("SSL"):
        given |= {"ca_file": locked.authority.ca}
    security = KafkaSecurity(**given | changes)
    security.check()
    return KafkaConnection(locked.doors.get(door, locked.bootstrap), security)


@pytest.mark.parametrize("mechanism", ["PLAIN", SCRAM])
@pytest.mark.parametrize("door", ["SASL_SSL", "SASL_PLAINTEXT"])
async def test_every_kind_of_client_gets_in_with_a_password(locked, door, mechanism):
    connection = a_connection(locked, door, mechanism=mechanism)

    await write_and_read(connection)

    assert await refusal(connection) is None


async def test_every_kind_of_client_gets_in_with_a_certificate(locked):
    certificate, key = locked.authority.certificate("certified")
    await write_and_read(a_connection(locked, "SSL", cert_file=certificate, key_file=key))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"password": "guess-word"}, f"wrong password of {EVERYTHING}"),
        ({"password": "guess-word", "mechanism": SCRAM}, f"wrong password of {EVERYTHING}"),
        ({"username": "stranger"}, "wrong password of stranger, or no such user: check RED_KAFKA_PASSWORD"),
        ({"mechanism": "SCRAM-SHA-256"}, "does not take SCRAM-SHA-256"),
        ({"ca_file": None}, "check RED_KAFKA_CA_FILE"),
    ],
)
async def test_who_does_not_get_in_is_told_what_is_wrong_in_one_line(locked, changes, told):
    why = await refusal(a_connection(locked, **changes))

    assert told in why
    assert why.startswith(f"Kafka at {locked.doors['SASL_SSL']} refuses this process: ")
    assert len(why.splitlines()) == 1
    assert "guess-word" not in why


async def test_a_broker_of_another_authority_is_not_trusted(locked, tmp_path):
    assert "check RED_KAFKA_CA_FILE" in await refusal(a_connection(locked, ca_file=Authority(tmp_path).ca))


async def test_who_gives_a_password_at_a_door_for_certificates_is_told_so(locked):
    certificate, key = locked.authority.certificate("certified")
    security = a_connection(locked, cert_file=certificate, key_file=key).security

    assert "RED_KAFKA_SECURITY=SASL_SSL is not" in await refusal(
        KafkaConnection(locked.doors["SSL"], security)
    )


async def test_a_broker_that_is_away_refuses_nobody(locked):
    where = f"127.0.0.1:{free_port()}"
    assert await refusal(KafkaConnection(where, a_connection(locked).security)) is None


async def test_one_broker_that_lets_in_is_enough(locked):
    good = a_connection(locked)
    both = KafkaConnection(f"127.0.0.1:{free_port()},{good.bootstrap}", good.security)
    assert await refusal(both) is None


@pytest.mark.parametrize("mechanism", ["PLAIN", SCRAM])
async def test_no_log_shows_a_password_even_at_debug(locked, caplog, mechanism):
    caplog.set_level(logging.DEBUG)

    await write_and_read(a_connection(locked, mechanism=mechanism))
    with pytest.raises(KafkaError):
        await write_and_read(a_connection(locked, mechanism=mechanism, username="stranger"))

    assert "SaslAuthenticateRequest" in caplog.text
    assert PASSWORD not in caplog.text
