"""Subscription commands: how they are read, whether they are accepted, and what they change. Pure.

The caller passes the stamp (the end of the client's measurement log, read under the partition's lock),
the command's own position and Kafka time, and functions that seal and open secrets.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NamedTuple
from uuid import UUID

import msgspec

from red_common.events import CLIENT_ID, InvalidEvent, rfc3339
from red_common.kafka.partitioner import partition_of
from red_common.problems import Problem
from red_common.uuids import InvalidUuid, canonical
from red_stats.domain.alerts import uuid5
from red_stats.domain.erasure import Erased
from red_stats.domain.measurements import from_ms
from red_stats.domain.request_headers import SealedHeaders, check_names, purpose
from red_stats.domain.subscriptions import (
    MAX_DESCRIPTION,
    MAX_SUBSCRIPTIONS,
    Client,
    Secret,
    Subscription,
    TriggerName,
    closed_at,
    encode,
    still_needed,
)
from red_stats.domain.thresholds import NotAsExpected, exactly, min_interval_of, rearm_below_of, threshold_of

OVERLAP_SECONDS: Final = 24 * 3600
MAX_OVERLAP_SECONDS: Final = 7 * 24 * 3600
MAX_SECRETS: Final = 20  # of a subscription at a time
MAX_AGE_SECONDS: Final = 24 * 3600  # where a subscription names none
LONGEST_AGE_SECONDS: Final = 10_000 * 366 * 86_400
DISABLED_BY_SYSTEM: Final = ("gone", "failing")  # reasons that stop deliveries only: alerts are still raised
_NAMESPACE: Final = UUID("6f1cf2de-2f0c-5d55-9a52-5a3b0a1a4e5d").bytes

MAX_PAST: Final = 2000  # closed ranges of a client: its list must fit into a record

MAX_LIST: Final = 800_000  # bytes of a client's list: with its closed ranges it must fit into a record

MISPLACED: Final = ("key_mismatch", "partition_mismatch")

Name = Literal["subscribe", "update", "unsubscribe", "rotate_secret", "disable", "enable", "erase"]


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The value of a record on `red.subscription-commands`: absent fields stay as they are, null clears."""

    command: Name
    command_id: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    client_id: str
    subscription_id: str | msgspec.UnsetType = msgspec.UNSET
    webhook_url: str | msgspec.UnsetType = msgspec.UNSET
    threshold: Any = msgspec.UNSET  # as `exactly` reads it
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    secret: str | msgspec.UnsetType = msgspec.UNSET  # sealed, never clear
    reason: str | msgspec.UnsetType = msgspec.UNSET
    max_age: int | msgspec.UnsetType | None = msgspec.UNSET  # seconds
    trigger: TriggerName | msgspec.UnsetType = msgspec.UNSET
    rearm_below: Any = msgspec.UNSET  # as `exactly` reads it; null: the threshold
    min_interval: int | msgspec.UnsetType = msgspec.UNSET  # seconds
    headers: SealedHeaders | msgspec.UnsetType | None = msgspec.UNSET  # null: none
    notices: bool | msgspec.UnsetType = msgspec.UNSET
    overlap_seconds: int | msgspec.UnsetType = msgspec.UNSET
    if_version: int | msgspec.UnsetType = msgspec.UNSET
    fingerprint: Annotated[str, msgspec.Meta(max_length=64)] = ""


_decoder = msgspec.json.Decoder(Command, float_hook=exactly)


class Envelope(msgspec.Struct, frozen=True):
    """What a command must have to be answered at all; otherwise it is a dead letter.

    `fingerprint` is repeated in the answer: who sends a command again sees whether the first one said the
    same.
    """

    command_id: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    client_id: str
    command: Any = None
    fingerprint: Annotated[str, msgspec.Meta(max_length=64)] = ""


class Context(NamedTuple):
    """What a decision needs besides the command and the client's state."""

    partition: int
    partitions: int
    offset: int  # of the command
    at: int  # Kafka time of the command, ms
    stamp: int  # the measurement log's end
    mark: int  # last measurement offset folded in
    seal: Callable[[str, str], str]  # client_id, subscription_id -> a new secret, sealed
    opens: Callable[[str, str, str], bool]  # client_id, subscription_id, sealed -> whether it can be opened
    url_refusal: Callable[[str], str | None]  # why a webhook URL is refused; None: it is allowed


class Change(NamedTuple):
    """An accepted command: the client's new list, and the version it made; `ended` after an unsubscribe.

    An erase makes no version.
    """

    client: Client
    subscription: Subscription | None = None
    ended: bool = False


def read_envelope(value: bytes | None) -> Envelope:
    """The parts of a command that are needed to answer it.

    Raises:
        InvalidEvent: command_id or client_id cannot be read; the command becomes a dead letter.
    """
    try:
        envelope = msgspec.json.decode(value or b"", type=Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent(f"not a readable command: {error}") from error
    if not CLIENT_ID.fullmatch(envelope.client_id):
        raise InvalidEvent("client_id is not [a-z0-9_-]{1,64}")
    return envelope


def decide(value: bytes, key: bytes | None, client: Client | None, context: Context) -> Change:
    """What a command with a readable envelope changes.

    Raises:
        Problem: the command is rejected; the problem is its answer.
    """
    command = _parse(value)
    check_place(key, command.client_id, context)
    client = client or Client(client_id=command.client_id, offset=-1)
    try:
        return _obeyed(command, client, context)
    except NotAsExpected as error:
        raise Problem("invalid_command", f"{error}.") from error


def _obeyed(command: Command, client: Client, context: Context) -> Change:
    if command.command == "erase":
        erased = Erased(context.stamp, context.at)
        return Change(Client(client_id=client.client_id, offset=context.offset, erased=erased))
    if command.command == "subscribe":
        return _subscribe(command, client, context)
    subscription = _existing(command, client)
    if command.command == "unsubscribe":
        return _replace(client, subscription, None, context)
    return _replace(client, subscription, _changed(command, subscription, context), context)


def check_place(key: bytes | None, client_id: str, context: Context) -> None:
    """Check that a command stands where its client's commands stand.

    Raises:
        Problem: one of MISPLACED. Such an answer is not remembered: whoever names another client must
            not answer that client's own command with the same id beforehand.
    """
    if key != client_id.encode():
        raise Problem("key_mismatch", "The record's key must be its client_id.")
    if partition_of(client_id, context.partitions) != context.partition:
        raise Problem("partition_mismatch", "Use Java's (murmur2) partitioner.")


def _parse(value: bytes) -> Command:
    try:
        return _decoder.decode(value)
    except msgspec.ValidationError as error:
        text = str(error)
        if "`$.command`" in text:
            raise Problem("unknown_command", text) from error
        raise Problem("invalid_command", text) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # in a field that the envelope does not read
        raise Problem("invalid_command", f"The command cannot be read: {error}.") from error
    except RecursionError as error:  # its envelope could just be read
        raise Problem("invalid_command", "The command is nested too deeply.") from error


def _existing(command: Command, client: Client) -> Subscription:
    if not isinstance(command.subscription_id, str):
        raise Problem("invalid_command", "subscription_id is required.")
    subscription = client.find(command.subscription_id)
    if subscription is None:
        raise Problem("not_found", "There is no such subscription.")
    if command.if_version not in (msgspec.UNSET, subscription.version):
        raise Problem("version_conflict", f"The current version is {subscription.version}.")
    return subscription


def _subscribe(command: Command, client: Client, context: Context) -> Change:
    if len(client.subscriptions) >= MAX_SUBSCRIPTIONS:
        detail = f"A client has at most {MAX_SUBSCRIPTIONS} subscriptions; delete one first."
        raise Problem("too_many_subscriptions", detail)
    subscription_id = _new_id(command, client)
    if not isinstance(command.webhook_url, str) or command.threshold is msgspec.UNSET:
        raise Problem("invalid_command", "webhook_url and threshold are required.")
    now = rfc3339(from_ms(context.at))
    threshold = threshold_of(command.threshold)
    trigger = "each" if command.trigger is msgspec.UNSET else command.trigger
    subscription = Subscription(
        id=subscription_id,
        version=1,
        webhook_url=_url(command.webhook_url, context),
        threshold=threshold,
        trigger=trigger,
        rearm_below=_rearm_below(command.rearm_below, trigger, threshold),
        min_interval=0 if command.min_interval is msgspec.UNSET else min_interval_of(command.min_interval),
        description=_description(command.description),
        enabled=command.enabled is not False,
        max_age=MAX_AGE_SECONDS if command.max_age is msgspec.UNSET else _max_age(command.max_age),
        since=context.stamp,
        partition=context.partition,
        created_at=now,
        updated_at=now,
        secrets=(_sealed(command, subscription_id, context),),
        headers=_headers(command, subscription_id, context),
        notices=command.notices is True,
    )
    kept = still_needed(client.past, context.mark)
    everything = (*client.subscriptions, subscription)
    changed = msgspec.structs.replace(client, offset=context.offset, subscriptions=everything, past=kept)
    _must_fit(changed, client)
    return Change(changed, subscription)


def id_of_new(client_id: str, command_id: str) -> str:
    """The id of the subscription that a command makes which names none."""
    return uuid5(_NAMESPACE, f"{client_id}/{command_id}")


def _new_id(command: Command, client: Client) -> str:
    if not isinstance(command.subscription_id, str):
        return id_of_new(command.client_id, command.command_id)
    try:
        subscription_id = canonical(command.subscription_id)
    except InvalidUuid as error:
        raise Problem("invalid_command", "subscription_id must be a UUID.") from error
    if client.find(subscription_id) is not None:
        raise Problem("subscription_exists", "This subscription_id is already in use.")
    return subscription_id


def _changed(command: Command, old: Subscription, context: Context) -> Subscription:
    changes: dict[str, Any] = {}
    if isinstance(command.webhook_url, str):
        changes["webhook_url"] = _url(command.webhook_url, context)
    if command.threshold is not msgspec.UNSET:
        changes["threshold"] = threshold_of(command.threshold)
    if command.description is not msgspec.UNSET:
        changes["description"] = _description(command.description)
    enabled = {"enable": True, "disable": False}.get(command.command, command.enabled)
    if isinstance(enabled, bool):
        reason = command.reason if isinstance(command.reason, str) and not enabled else None
        changes |= {"enabled": enabled, "disabled_reason": reason and reason[:100]}
        changes["holds"] = reason in DISABLED_BY_SYSTEM
    if command.max_age is not msgspec.UNSET:
        changes["max_age"] = _max_age(command.max_age)
    if command.min_interval is not msgspec.UNSET:
        changes["min_interval"] = min_interval_of(command.min_interval)
    if command.headers is not msgspec.UNSET:
        changes["headers"] = _headers(command, old.id, context)
    if isinstance(command.notices, bool):
        changes["notices"] = command.notices
    changes |= _changed_trigger(command, old, changes.get("threshold", old.threshold))
    if command.command == "rotate_secret":
        changes["secrets"] = _rotated(command, old, context)
    elif command.command == "update" and not changes:
        raise Problem("invalid_command", "Name at least one field to change.")
    return msgspec.structs.replace(
        old,
        **changes,
        version=old.version + 1,
        since=context.stamp,
        updated_at=rfc3339(from_ms(context.at)),
    )


def _changed_trigger(command: Command, old: Subscription, threshold: float) -> dict[str, Any]:
    """The fields of the trigger that change, checked against the threshold that the new version has."""
    changes: dict[str, Any] = {}
    trigger = old.trigger
    if command.trigger is not msgspec.UNSET:
        trigger = changes["trigger"] = command.trigger
    if command.rearm_below is not msgspec.UNSET:
        changes["rearm_below"] = _rearm_below(command.rearm_below, trigger, threshold)
    elif trigger == "each" and old.rearm_below is not None:
        changes["rearm_below"] = None
    elif old.rearm_below is not None and old.rearm_below > threshold:
        detail = "rearm_below must not be over the threshold: change it, too, or set it to null."
        raise Problem("threshold_out_of_range", detail)
    return changes


def _rotated(command: Command, old: Subscription, context: Context) -> tuple[Secret, ...]:
    """The new secret, then every older one within its overlap, newest first."""
    seconds = command.overlap_seconds if isinstance(command.overlap_seconds, int) else OVERLAP_SECONDS
    if not 0 <= seconds <= MAX_OVERLAP_SECONDS:
        detail = f"overlap_seconds is a whole number from 0 to {MAX_OVERLAP_SECONDS}."
        raise Problem("value_out_of_range", detail)
    replaced = Secret(old.secrets[0].encrypted, context.at + seconds * 1000)
    overlapping = [one for one in (replaced, *old.secrets[1:]) if (one.until or 0) > context.at]
    if len(overlapping) >= MAX_SECRETS:
        detail = f"At most {MAX_SECRETS} secrets can be valid at a time; rotate with a shorter overlap."
        raise Problem("too_many_secrets", detail)
    return (_sealed(command, old.id, context), *overlapping)


def _replace(client: Client, old: Subscription, new: Subscription | None, context: Context) -> Change:
    past = still_needed((*client.past, *closed_at(old, context.stamp)), context.mark)
    if len(past) > MAX_PAST:
        detail = "Too many versions wait for measurements that are not counted yet; try again later."
        raise Problem("overloaded", detail)
    others = [new if s.id == old.id else s for s in client.subscriptions]
    changed = msgspec.structs.replace(
        client,
        offset=context.offset,
        subscriptions=tuple(s for s in others if s is not None),
        past=past,
    )
    if new is not None:
        _must_fit(changed, client)
        return Change(changed, new)
    end = msgspec.structs.replace(old, version=old.version + 1, since=context.stamp, enabled=False)
    return Change(changed, end, ended=True)


def _must_fit(changed: Client, before: Client) -> None:
    """Refuse what makes a list longer than a record may be; what makes it no longer is always accepted."""
    size = _list_size(changed)
    if size > MAX_LIST and size > _list_size(before):
        detail = "The client's subscriptions are too long together: shorten URLs, headers or descriptions."
        raise Problem("too_many_subscriptions", detail)


def _list_size(client: Client) -> int:
    return len(encode(msgspec.structs.replace(client, past=())))


def _rearm_below(value: Any, trigger: TriggerName, threshold: float) -> float | None:
    if value is msgspec.UNSET:
        return None
    return rearm_below_of(value, crossing=trigger == "crossing", threshold=threshold)


def _url(url: str, context: Context) -> str:
    reason = context.url_refusal(url)
    if reason is not None:
        raise Problem("webhook_url_refused", f"The webhook URL is refused: {reason}.", reason=reason)
    return url


def _max_age(seconds: int | msgspec.UnsetType | None) -> int | None:
    if not isinstance(seconds, int):
        return None
    if not 1 <= seconds <= LONGEST_AGE_SECONDS:
        detail = (
            f"max_age is a whole number of seconds from 1 to {LONGEST_AGE_SECONDS}, or null for no limit."
        )
        raise Problem("value_out_of_range", detail)
    return seconds


def _description(text: str | msgspec.UnsetType | None) -> str | None:
    if not isinstance(text, str):
        return None
    if len(text) > MAX_DESCRIPTION:
        detail = f"A description has at most {MAX_DESCRIPTION} characters."
        raise Problem("description_too_long", detail)
    return text


def _headers(command: Command, subscription_id: str, context: Context) -> SealedHeaders | None:
    headers = command.headers
    if not isinstance(headers, SealedHeaders) or not headers.names:
        return None
    check_names(headers.names)
    if not context.opens(command.client_id, purpose(subscription_id), headers.encrypted):
        raise Problem("secret_unreadable", "The headers are not sealed for this subscription.")
    return headers


def _sealed(command: Command, subscription_id: str, context: Context) -> Secret:
    if not isinstance(command.secret, str):
        return Secret(context.seal(command.client_id, subscription_id))
    if not context.opens(command.client_id, subscription_id, command.secret):
        detail = "The secret is not sealed for this subscription; leave it out to get a new one."
        raise Problem("secret_unreadable", detail)
    return Secret(command.secret)
