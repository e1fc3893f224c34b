"""What all commands share: the app, `--json`, and one line with a non-zero exit code for every error."""

import asyncio
import os
import pwd
import socket
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeVar

from cyclopts import App, Parameter

from red_common.audit import Act, AuditRecord, Name
from red_common.events import rfc3339
from red_common.kafka.connection import KafkaConnection
from red_common.secret_keys import SecretKeyError, SecretKeys, load_keys
from red_common.settings import CommonSettings

if TYPE_CHECKING:
    from red_common.web.trust import Trust
    from red_stats.settings import Settings

app = App(
    name="red-stats",
    help="RED_STATS: counts, statistics and alerts about the red in images.",
    version=version("red-stats"),
)
Json = Annotated[bool, Parameter(name="--json", negative=(), help="Machine-readable output.")]
ClientKey = Annotated[
    str | None, Parameter(help="API key, as @FILE or - for stdin; default: the demo client's in RED_DATA.")
]
AdminKey = Annotated[
    str | None,
    Parameter(help="API key with scope admin, as @FILE or - for stdin; default: the operator's in RED_DATA."),
]
StatsUrl = Annotated[str | None, Parameter(help="RED_STATS' address; default: from its settings.")]
INSTEAD: Final = {  # of a key that `up` made
    "demo": "give --client-key, or run `red-stats up` first",
    "operator": "give --key of a client with the scope admin",
}
Result = TypeVar("Result")


def fail(text: str, code: int = 1) -> NoReturn:
    """Print one line to stderr and exit."""
    print(f"red-stats: {' '.join(text.split())}", file=sys.stderr)
    raise SystemExit(code)


def printable(text: str) -> str:
    """A line of text in which nothing is a code for the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _saved_key(data: Path, whose: str) -> str:
    """The API key that `up` made for `demo` or `operator`."""
    from red_stats.local.data_folder import Unusable, read_keys

    try:
        keys = read_keys(data)
    except Unusable as error:
        fail(str(error), 2)
    if keys is None:
        fail(f"there are no keys in {data}: {INSTEAD[whose]}", 2)
    return str(keys[whose]["api_key"])


def secret_from(given: str) -> str:
    """A secret that an option names: `-` is a line of stdin, `@FILE` the content of a file, else itself.

    What stands on a command line shows in the list of processes and in the shell's history.
    """
    try:
        if given == "-":
            return sys.stdin.readline().strip()
        return Path(given[1:]).read_text().strip() if given.startswith("@") else given
    except (OSError, UnicodeDecodeError) as error:
        fail(f"the secret cannot be read from {given}: {error}", 2)


def service_of(
    settings: "Settings", url: str | None, ours: str, key: str | None, whose: str = "demo"
) -> "tuple[str, str, Trust]":
    """Address of a service, key, and whom to believe there; `ours` is the address on this machine.

    `key` is what an option gives; None: that which `up` made for `whose`.
    """
    from red_common.web.trust import trust

    secret = secret_from(key) if key is not None else _saved_key(settings.data, whose)
    trusted = trust(None, settings.tls_ca) if url else trust(settings.tls_cert)
    return (url or ours).rstrip("/"), secret, trusted


def secret_keys_of(settings: CommonSettings) -> SecretKeys:
    """The secret keys of the installation; without one, print one line and exit with code 2."""
    try:
        return load_keys(settings.data, settings.secret_key)
    except SecretKeyError as error:
        fail(str(error), 2)


def time_from(name: str, text: str | None) -> int | None:
    """The time that the option `name` gives, as ms since 1970; one line and exit code 2 if it is none."""
    from red_common.problems import Problem
    from red_stats.web.parameters import time_of

    try:
        return None if text is None else time_of({name: text}, name)
    except Problem as problem:
        fail(problem.detail, 2)


def now_text() -> str:
    """The time now, as RFC 3339."""
    return rfc3339(datetime.now(UTC))


def operator() -> str:
    """Who runs this command, for `red.audit`: not what the environment says, but whose the process is."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run as a user that has no name
        user = str(os.getuid())
    return f"operator:{user}@{socket.gethostname()}"


def done_now(act: Name, target: str) -> AuditRecord:
    """The record of `red.audit` about what this command does."""
    from red_common.kafka.audit_log import new_id

    return Act(operator(), act, target).once(new_id(), now_text())


def run(work: Coroutine[Any, Any, Result], connection: KafkaConnection) -> Result:
    """Run work that needs Kafka; without Kafka, print one line and exit with code 2."""
    import logging

    from red_common.kafka.connection import KafkaError
    from red_common.kafka.refusals import why_failed

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        return asyncio.run(work)
    except (KafkaError, OSError) as error:
        refused = asyncio.run(why_failed(connection, error))
        advice = "start `red-stats up`, or set RED_KAFKA and RED_KAFKA_SECURITY"
        fail(refused or f"Kafka at {connection} cannot be used ({error}): {advice}", 2)
