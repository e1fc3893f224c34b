"""`red-stats audit`: who did what when to keys and as an operator, and who was refused."""

import json
import sys

import msgspec

from red_common.audit import AuditRecord
from red_stats.cli.base import Json, app, run, time_from


@app.command
def audit(*, since: str | None = None, as_json: Json = False) -> None:
    """List keys made, revoked and signed, acts of operators and admin keys, and refused keys, oldest first.

    --since is a time such as 2026-01-31T00:00:00Z. Services write what they have counted every 10 s.
    """
    from red_stats.domain.measurements import rfc3339_of
    from red_stats.kafka.audit_log import acts_since
    from red_stats.settings import load

    start = time_from("--since", since) or 0
    settings = load()
    found = run(acts_since(settings.connection, rfc3339_of(start)), settings.connection)
    if found.unreadable:
        print(f"red-stats: skipped {found.unreadable} records that are not ours", file=sys.stderr)
    if as_json:
        print(json.dumps(msgspec.to_builtins(found.records)))
        return
    for one in found.records:
        print(_line(one))
    if not found.records:
        print("nothing has been recorded" + (f" since {since}" if since else ""))


def _line(one: AuditRecord) -> str:
    """One act; whoever may write to the topic could put anything into it, terminal codes included."""
    times = "" if one.count == 1 else f"  {one.count} times until {one.until}"
    whose = "" if one.client_id is None else f"  of {one.client_id}"
    why = "" if one.reason is None else f"  ({one.reason})"
    text = f"{one.at}  {one.who:<28} {one.act:<21}{one.target or ''}{whose}{why}{times}"
    return "".join(char if char.isprintable() else "?" for char in text)
