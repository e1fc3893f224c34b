"""The result of a subscription command, as it stands on `red.command-results`. Pure.

Accepted results carry the whole version and the offset it is in force from: they are the history that
`rebuild` and `verify` fold.
"""

from typing import Any, Literal

import msgspec

from red_common.events import InvalidEvent
from red_stats.domain.subscriptions import PublicSubscription, Subscription


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a record on `red.command-results`; its key is the client_id.

    `command_position` is the command's partition:offset. An accepted result has `subscription` as clients
    see it and `row` as role live keeps it (None once it has ended); a rejected one has `problem`.
    """

    command_id: str
    client_id: str
    status: Literal["accepted", "rejected"]
    problem: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    subscription: PublicSubscription | msgspec.UnsetType = msgspec.UNSET
    row: Subscription | msgspec.UnsetType | None = msgspec.UNSET
    ended: bool | msgspec.UnsetType = msgspec.UNSET
    command_position: str = ""

    @property
    def command_offset(self) -> int:
        """The command's offset in its partition."""
        return int(self.command_position.partition(":")[2])


_decoder = msgspec.json.Decoder(CommandResult)
encode = msgspec.json.Encoder().encode


def decode(value: bytes | None) -> CommandResult:
    """The result in the value of a record.

    Raises:
        InvalidEvent: the value is no command result; only role live writes there.
    """
    try:
        return _decoder.decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(f"not a command result: {error}") from error
