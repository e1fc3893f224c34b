"""What a client logs in with: at DEBUG aiokafka logs every request whole, a password in clear among them.

This touches private API of aiokafka, which is pinned; `tests/red_common/kafka/test_security.py` holds it.
"""

from typing import get_args

from aiokafka.protocol import admin


def hide_sasl_in_logs() -> None:
    """Show the requests of logins by their names only."""
    for kind in get_args(admin.SaslAuthenticateRequestStruct):
        kind.__repr__ = _name_only


def _name_only(request: object) -> str:
    return f"{type(request).__name__}(...)"
