"""A broker for each module: the stores it breaks must not share a log with anybody's.

Nor should a worker that is started dozens of times read what another module's kills have written.
"""

from collections.abc import Iterator

import pytest

from tests.conftest import a_broker


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_broker(tmp_path_factory.mktemp("kafka-of-faults")) as bootstrap:
        yield bootstrap
