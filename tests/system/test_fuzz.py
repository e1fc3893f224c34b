"""Both services asked whatever their OpenAPI documents allow, and what they do not."""

import asyncio

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from red_common.api_keys import DEFAULT_SCOPES
from tests.openapi import SCHEMAS
from tests.services import an_api, bearer

FEW = settings(
    max_examples=30,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
CHECKS = [
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
]
RED = schemathesis.openapi.from_path(SCHEMAS / "openapi" / "red.json")
STATS = schemathesis.openapi.from_path(SCHEMAS / "openapi" / "red_stats.json").exclude(
    path=["/v1/live/stream", "/v1/alerts/stream"]  # have no end; their own tests ask them
)


@pytest.fixture
def key(kafka, service, stats):
    """Of a client for each operation, so that none is refused for what another one has sent."""

    async def known():
        async with an_api(kafka, service, stats, scopes=(*DEFAULT_SCOPES, "sql")) as api:
            return api.key

    return asyncio.run(known())


def ask(case, service, key):
    """Every answer is documented in status, type and shape; what is not there yet is a documented 503."""
    if case.query:
        case.query.pop("at_least", None)  # an offset that never comes is waited for, 5 s each time
    answer = case.call(base_url=service.url, headers=bearer(key), timeout=20)
    assert answer.status_code == 503 or answer.status_code < 500
    case.validate_response(answer, checks=CHECKS)


@RED.parametrize()
@FEW
def test_red(case, service, key):
    ask(case, service, key)


@STATS.parametrize()
@FEW
def test_red_stats(case, stats, key):
    ask(case, stats, key)
