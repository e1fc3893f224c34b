"""Which endpoints have proven their consent: by subscription and URL, and by client."""

import msgspec
import pytest

from red_stats.domain.deliveries import url_mark
from red_stats.tables.endpoint_rows import encode
from red_stats.tables.proven_endpoints import ProvenEndpoint, ProvenEndpoints

URL = "https://hooks.example/a"


def a_row(client_id="acme", url=URL):
    return encode(ProvenEndpoint(client_id, url_mark(url)))


def test_an_endpoint_is_proven_at_the_url_that_echoed_and_at_no_other():
    rows = ProvenEndpoints()
    rows.load(b"s1", a_row())
    assert rows.has("s1", URL)
    assert not rows.has("s1", URL + "/")
    assert not rows.has("s2", URL)


def test_a_row_is_replaced_and_deleted_with_its_place_among_those_of_its_client():
    rows = ProvenEndpoints()
    rows.load(b"s1", a_row())
    rows.load(b"s2", a_row())
    rows.load(b"s1", a_row(url="https://hooks.example/b"))
    assert rows.of == {"acme": {"s1", "s2"}}
    rows.load(b"s1", None)
    rows.load(b"s2", None)
    rows.load(b"s3", None)
    assert (rows, rows.of) == ({}, {})


def test_what_is_no_row_changes_nothing():
    rows = ProvenEndpoints()
    rows.load(b"s1", a_row())
    with pytest.raises(msgspec.ValidationError):
        rows.load(b"s1", b"[]")
    assert rows.has("s1", URL)
    again = ProvenEndpoints()
    for key, value in rows.encoded().items():
        again.load(key, value)
    assert (again, again.of) == (rows, rows.of)
