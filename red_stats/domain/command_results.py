"""The result of a subscription command, as it stands on `red.command-results`. Pure.

Accepted results carry the whole version and the offset it is in force from: they are the history that
`rebuild` and `verify` fold.
"""

from collections.abc import Iterable
from typing import Final, Literal, TypedDict

import msgspec

from red_common.events import InvalidEvent, rfc3339, to_basis_points
from red_stats.domain.bounds import PlaceInLog, moment_ms
from red_stats.domain.erasure import Erased
from red_stats.domain.measurements import from_ms
from red_stats.domain.subscriptions import Private, PublicSubscription, Subscription


class ProblemObject(TypedDict):
    """What every problem object has; its additional members are not read here."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class ErasedUpTo(msgspec.Struct, frozen=True):
    """What an erase command has erased: the client's measurements before partition:offset, and when."""

    before: PlaceInLog
    at: str

    @classmethod
    def of(cls, erased: Erased, partition: int) -> "ErasedUpTo":
        """The same as it is written."""
        return cls(f"{partition}:{erased.before}", rfc3339(from_ms(erased.at)))

    @property
    def erased(self) -> Erased:
        """The same as folds use it.

        Raises:
            InvalidEvent: `at` is no time.
        """
        return Erased(int(self.before.partition(":")[2]), moment_ms(self.at))


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a record on `red.command-results`; its key is the client_id.

    `command_position` is the command's partition:offset. An accepted result has `subscription` as clients
    see it and in `row` the rest of it (None once it has ended; earlier versions wrote all of it there), or
    `erased` if it was an erase; a rejected one has `problem`. Results are kept for ever, so nothing stands
    there twice.
    """

    command_id: str
    client_id: str
    status: Literal["accepted", "rejected"]
    problem: ProblemObject | msgspec.UnsetType = msgspec.UNSET
    subscription: PublicSubscription | msgspec.UnsetType = msgspec.UNSET
    row: Private | msgspec.UnsetType | None = msgspec.UNSET
    ended: bool | msgspec.UnsetType = msgspec.UNSET
    erased: ErasedUpTo | msgspec.UnsetType = msgspec.UNSET
    command_position: PlaceInLog
    fingerprint: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def made(self) -> Subscription | None:
        """The version that an accepted command made; None if it ended the subscription."""
        public, rest = self.subscription, self.row
        if self.ended is True or not isinstance(public, PublicSubscription) or not isinstance(rest, Private):
            return None
        return public.whole(rest)

    @property
    def command_offset(self) -> int:
        """The command's offset in its partition."""
        return int(self.command_position.partition(":")[2])


KEYED: Final = "key-"  # begins the command_id of a request with an Idempotency-Key
REMEMBERED, REMEMBERED_KEYED = 100, 300  # answers of a client


def forgotten(command_ids: Iterable[str]) -> list[str]:
    """Of a client's answered commands, oldest first, those that are not remembered any more.

    Requests with an Idempotency-Key are remembered apart, so that other commands do not push them out.
    """
    ids = list(command_ids)
    plain = [one for one in ids if not one.startswith(KEYED)]
    keyed = [one for one in ids if one.startswith(KEYED)]
    return plain[:-REMEMBERED] + keyed[:-REMEMBERED_KEYED]


def is_remembered(status: int) -> bool:
    """Whether an answer with this HTTP status is given again; a 5xx says to try again, so it is not."""
    return status < 500


_decoder = msgspec.json.Decoder(CommandResult)
encode = msgspec.json.Encoder().encode


def decode(value: bytes | None) -> CommandResult:
    """The result in the value of a record.

    Raises:
        InvalidEvent: the value is no command result; only role live writes there.
    """
    try:
        result = _decoder.decode(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(f"not a command result: {error}") from error
    accepted = (result.subscription, result.erased)
    told = accepted if result.status == "accepted" else (result.problem,)
    if all(isinstance(one, msgspec.UnsetType) for one in told):
        raise InvalidEvent("an accepted result has a subscription or `erased`, a rejected one a problem")
    if isinstance(result.erased, ErasedUpTo):
        moment_ms(result.erased.at)
    if result.status == "accepted" and isinstance(result.subscription, PublicSubscription):
        to_basis_points(result.subscription.threshold)
        to_basis_points(result.subscription.rearm_below or 0)
    return result
