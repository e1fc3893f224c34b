"""What we change in aiokafka for the whole process: all of it or nothing, on the one version it is for.

Every entry point calls `apply` before it makes a client of Kafka.
"""

from importlib.metadata import version
from typing import Final

from red_common.kafka.patches.bounded_unpacking import bound_unpacking
from red_common.kafka.patches.header_keys import tolerate_non_utf8_header_keys
from red_common.kafka.patches.sasl_in_logs import hide_sasl_in_logs
from red_common.kafka.patches.transaction_backoff import shorten_transaction_backoff
from red_common.kafka.patches.zero_copy_receive import enable_zero_copy_receive

AIOKAFKA: Final = "0.14.0"


class UnknownVersion(RuntimeError):
    """Raised when another aiokafka is installed than the one whose insides are known."""


def apply(installed: str | None = None) -> None:
    """From now on and for the whole process; safe to call twice.

    Args:
        installed: the version of aiokafka; by default the one that is installed.

    Raises:
        UnknownVersion: it is not the one these patches were written for; nothing was changed.
    """
    found = version("aiokafka") if installed is None else installed
    if found != AIOKAFKA:
        raise UnknownVersion(f"aiokafka {found} is installed, and {AIOKAFKA} is needed: install the pins")
    bound_unpacking()
    tolerate_non_utf8_header_keys()
    hide_sasl_in_logs()
    shorten_transaction_backoff()
    enable_zero_copy_receive()
