"""`/v1/sql`: one query of a client over its own rows."""

from typing import Any, Final

import msgspec
from aiohttp import web

from red_common.problems import Problem
from red_common.web.auth import client_of
from red_stats.resources import Resources
from red_stats.store.sql import parameters
from red_stats.store.sql.errors import SqlFailed, SqlRefused
from red_stats.store.sql.questions import SqlAnswer, SqlText
from red_stats.web.bodies import raw_body
from red_stats.web.parameters import invalid, known

PREFIX: Final = "param_"


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    sql: str
    parameters: dict[str, msgspec.Raw] = {}


class Sql:
    """The view."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def routes(self) -> list[web.RouteDef]:
        """The route of this view."""
        return [web.post("/v1/sql", self.post)]

    async def post(self, request: web.Request) -> web.Response:
        """The answer in the format asked for, by default JSON."""
        client_id = client_of(request, "sql", reads=True)
        values = parameters_of(request)
        given = known(request, "format", repeated=tuple(PREFIX + name for name in values))
        text, more = _asked(request.content_type, await body_of(request))
        if twice := values.keys() & more.keys():
            raise invalid(PREFIX + min(twice), "it is in the body, too")
        answer = await asked(
            self._resources, client_id, SqlText(text, values | more, given.get("format", "JSON"))
        )
        return web.Response(body=answer.body, headers={"Content-Type": answer.content_type})


async def asked(resources: Resources, client_id: str, text: SqlText) -> SqlAnswer:
    """The answer to a client's text.

    Raises:
        Problem: 400 `sql_refused`, 422 `sql_failed`, 429 `rate_limited`.
        StoreError: the store is away.
    """
    try:
        return await resources.answer_sql(client_id, text)
    except SqlRefused as refused:
        where: dict[str, Any] = {} if refused.position is None else {"position": refused.position}
        raise Problem("sql_refused", str(refused), reason=refused.reason, **where) from None
    except SqlFailed as failed:
        raise Problem("sql_failed", str(failed), engine_code=failed.code) from None


def parameters_of(request: web.Request) -> dict[str, str | None]:
    """The values of `param_x=` by name.

    Raises:
        Problem: 400, a name is none, or is given twice.
    """
    found: dict[str, str | None] = {}
    for name, value in request.query.items():
        if not name.startswith(PREFIX):
            continue
        short = name.removeprefix(PREFIX)
        if not parameters.NAME.fullmatch(short):
            raise Problem("unknown_parameter", f"There is no parameter {name[:100]!r} here.")
        if short in found:
            raise Problem("repeated_parameter", f"{name} is given more than once.")
        found[short] = parameters.from_url(value)
    return found


async def body_of(request: web.Request) -> str:
    """The body as text.

    Raises:
        Problem: 400, it is not UTF-8; or what `raw_body` raises.
    """
    try:
        return (await raw_body(request)).decode()
    except UnicodeDecodeError as error:
        raise Problem("invalid_body", "The body must be UTF-8.") from error


def _asked(content_type: str, body: str) -> tuple[str, dict[str, str | None]]:
    """The text and the parameters of a body: JSON, or else SQL as it is."""
    if content_type != "application/json":
        return body, {}
    try:
        read = msgspec.json.decode(body, type=_Body)
        values = {name: msgspec.json.decode(raw) for name, raw in read.parameters.items()}
        for name in values:
            if not parameters.NAME.fullmatch(name):
                raise ValueError(f"{name[:60]!r} is no name of a parameter")
        return read.sql, parameters.from_json(values)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        detail = f'The body must be {{"sql": ..., "parameters": {{...}}}}: {error}.'
        raise Problem("invalid_body", detail) from error
