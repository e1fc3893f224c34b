"""`red-stats lag` and `dead-letters`: which records wait, and which could not be read."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from red_stats.cli.base import Json, app, done_now, fail, run

if TYPE_CHECKING:
    from red_stats.kafka.dead_letters import Letter

dead_letters = App(name="dead-letters", help="List, show and replay records that could not be read.")
app.command(dead_letters)


@app.command
def lag(*, as_json: Json = False) -> None:
    """Show how many records each role is behind, by partition, and how long the first has waited.

    This goes by committed offsets, which may be a few seconds old. A partition that does not move although
    its log does is told with the likely cause; a transaction that somebody left open is one.
    """
    from red_stats.kafka.consumer_lag import lag_of
    from red_stats.settings import load

    settings = load()
    found = run(lag_of(settings.connection, settings.partitions), settings.connection)
    if as_json:
        print(json.dumps([one._asdict() for one in found]))
        return
    print(
        f"{'role':<9}{'topic':<32}{'partition':>9}{'committed':>12}{'end':>12}{'behind':>10}{'seconds':>10}"
    )
    for one in found:
        far = f"{one.committed:>12}{one.end:>12}{one.records:>10}{one.seconds:>10.1f}"
        why = "" if one.stalled is None else f"  STANDS: {one.stalled}"
        print(f"{one.role:<9}{one.topic:<32}{one.partition:>9}{far}{why}")


@dead_letters.command(name="list")
def show_all(*, as_json: Json = False) -> None:
    """List all dead letters that Kafka still has: their position, the record's, and the reason."""
    found = _letters()
    if as_json:
        print(json.dumps([_as_dict(one) for one in found]))
        return
    for one in found:
        state = "  replayed" if one.replayed else ""
        print(f"{one.at:<10} {_as_dict(one)['time']}  {one.topic} {one.position}  {one.reason}{state}")


@dead_letters.command
def show(position: str, /, *, as_json: Json = False) -> None:
    """Show the dead letter at POSITION (partition:offset, see list) with the record's key and value."""
    one = _at(position)
    if as_json:
        print(json.dumps(_as_dict(one)))
        return
    for name, value in _as_dict(one).items():
        print(f"{name:<10} {value}")


@dead_letters.command
def replay(
    position: str,
    /,
    *,
    value: Annotated[Path | None, Parameter(help="File with a corrected value to send instead.")] = None,
    again: Annotated[bool, Parameter(negative=(), help="Replay it even if it was replayed before.")] = False,
    as_json: Json = False,
) -> None:
    """Send the record of the dead letter at POSITION to its topic again.

    It is folded like any other record; if it still cannot be read, it becomes a dead letter again.
    """
    from red_stats.kafka.dead_letters import NoSuchLetter
    from red_stats.kafka.dead_letters import replay as send
    from red_stats.settings import load

    one = _at(position)
    if one.replayed and not again:
        fail(f"{position} was already replayed: use --again to replay it once more")
    try:
        corrected = None if value is None else value.read_bytes()
    except OSError as error:
        fail(f"{value} cannot be read: {error.strerror}", 2)
    settings = load()
    try:
        audit = done_now("dead_letter_replayed", position)
        work = send(settings.connection, settings.partitions, one, corrected, audit)
        now = run(work, settings.connection)
    except NoSuchLetter as error:
        fail(str(error))
    result = {"replayed": one.at, "topic": one.topic, "position": now}
    print(json.dumps(result) if as_json else f"{one.topic} {now}")


def _letters() -> "list[Letter]":
    from red_stats.kafka.dead_letters import letters
    from red_stats.settings import load

    settings = load()
    return run(letters(settings.connection, settings.partitions), settings.connection)


def _at(position: str) -> "Letter":
    for one in _letters():
        if one.at == position:
            return one
    fail(f"there is no dead letter at {position}: see `red-stats dead-letters list`")


def _as_dict(one: "Letter") -> dict[str, Any]:
    from red_common.events import rfc3339
    from red_stats.domain.measurements import from_ms

    return {
        "at": one.at,
        "time": rfc3339(from_ms(one.time)),
        "topic": one.topic,
        "position": one.position,
        "reason": one.reason,
        "replayed": one.replayed,
        "key": None if one.key is None else one.key.decode(errors="backslashreplace"),
        "value": None if one.value is None else one.value.decode(errors="backslashreplace"),
        **({} if one.size is None else {"size": one.size, "sha256": one.sha256}),
    }
