"""A broker of their own: the stores these tests break must not share a log with anybody's."""

from collections.abc import Iterator

import pytest

from tests.conftest import a_broker


@pytest.fixture(scope="package")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_broker(tmp_path_factory.mktemp("kafka-of-faults")) as bootstrap:
        yield bootstrap
