"""`/clickhouse`: as much of ClickHouse's HTTP interface as its drivers need to read."""

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import uuid4

from aiohttp import web

from red_common.problems import Problem
from red_common.web.auth import CALLER, client_of
from red_stats.resources import Resources
from red_stats.store.sql.questions import SqlText
from red_stats.web.sql import PREFIX, asked, body_of, parameters_of

PATH: Final = "/clickhouse"
PING: Final = "/clickhouse/ping"
USER: Final = "X-ClickHouse-User"
KEY: Final = "X-ClickHouse-Key"
OURS: Final = ("query", "database", "default_format", "client", "query_id")
#: What drivers send with every question, and what has no meaning where nothing can be set or changed.
IGNORED: Final = frozenset(
    [
        "add_http_cors_header",
        "buffer_size",
        "cancel_http_readonly_queries_on_client_close",
        "client_protocol_version",
        "compress",
        "date_time_input_format",
        "date_time_output_format",
        "decompress",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "http_zlib_compression_level",
        "max_execution_time",
        "max_result_rows",
        "quota_key",
        "readonly",
        "result_overflow_mode",
        "role",
        "send_progress_in_http_headers",
        "session_check",
        "session_id",
        "session_timeout",
        "wait_end_of_query",
    ]
)
#: By our code, or reason of a refusal: the engine's number and name.
CODES: Final = {
    "unauthenticated": (516, "AUTHENTICATION_FAILED"),
    "scope_missing": (497, "ACCESS_DENIED"),
    "admin_only": (497, "ACCESS_DENIED"),
    "rate_limited": (202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
    "not_ready": (210, "NETWORK_ERROR"),
    "store_unavailable": (210, "NETWORK_ERROR"),
    "unreadable": (62, "SYNTAX_ERROR"),
    "not_one_statement": (62, "SYNTAX_ERROR"),
    "settings": (164, "READONLY"),
    "not_select": (164, "READONLY"),
    "into": (164, "READONLY"),
    "function": (46, "UNKNOWN_FUNCTION"),
    "table_function": (46, "UNKNOWN_FUNCTION"),
    "table": (60, "UNKNOWN_TABLE"),
    "type": (50, "UNKNOWN_TYPE"),
    "format": (73, "UNKNOWN_FORMAT"),
    "parameter": (456, "UNKNOWN_QUERY_PARAMETER"),
}
OTHER: Final = (36, "BAD_ARGUMENTS")


class ClickHouse:
    """The view."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def routes(self) -> list[web.RouteDef]:
        """With and without a slash at the end, as drivers write it."""
        paths = (PATH, f"{PATH}/")
        asked_by = [route(path, self.ask) for path in paths for route in (_get, web.post)]
        return [web.get(PING, self.ping), *asked_by]

    async def ping(self, request: web.Request) -> web.Response:
        """Whether somebody is here."""
        return web.Response(text="Ok.\n")

    async def ask(self, request: web.Request) -> web.Response:
        """The answer to the text in `query` and in the body."""
        caller = request[CALLER]
        if _login(request)[0] not in (None, caller.client_id):
            raise Problem("unauthenticated", "The user is the client's id, the password its API key.")
        client_id = client_of(request, "sql", reads=True)
        _check_settings(request.query)
        values = parameters_of(request)
        body = await body_of(request) if request.method == "POST" else ""
        query = request.query.get("query", "")
        text = f"{query}\n{body}" if query and body else query or body
        if not text.strip():
            raise Problem("sql_refused", "Empty query.", reason="unreadable")
        format = request.query.get("default_format") or request.headers.get("X-ClickHouse-Format")
        asks = SqlText(text, values, format or "TabSeparated", strict=False, drivers=True)
        answer = await asked(self._resources, client_id, asks)
        return web.Response(
            body=answer.body,
            headers={
                "Content-Type": answer.content_type,
                "X-ClickHouse-Format": answer.format,
                "X-ClickHouse-Query-Id": _query_id(request),
                "X-ClickHouse-Timezone": "UTC",
                "X-ClickHouse-Summary": "{}",
            },
        )


def _get(path: str, handler: Any) -> web.RouteDef:
    return web.get(path, handler, allow_head=False)


def _query_id(request: web.Request) -> str:
    given = request.query.get("query_id", "")
    return given if given.isascii() and given.isprintable() and 0 < len(given) <= 64 else str(uuid4())


def _check_settings(query: Mapping[str, str]) -> None:
    if query.get("compress", "0") not in ("0", "false") or query.get("decompress", "0") not in ("0", "false"):
        raise Problem("sql_refused", "Blocks are not compressed here: set compress=0.", reason="settings")
    if query.get("database", "red") not in ("red", "default", ""):
        raise Problem("sql_refused", "There is only the database red.", reason="table")
    for name in query:
        if name not in OURS and name not in IGNORED and not name.startswith(PREFIX):
            detail = f"Cannot modify {name[:60]!r} setting in readonly mode."
            raise Problem("sql_refused", detail, reason="settings")


def bearer_of(request: web.Request) -> str | None:
    """The header `Authorization: Bearer ...`, which drivers of ClickHouse send as a user and a password."""
    key = _login(request)[1] if request.path.startswith(PATH) else None
    return request.headers.get("Authorization") if key is None else f"Bearer {key}"


def _login(request: web.Request) -> tuple[str | None, str | None]:
    """The user and the password of a request; None if it has none of the kind."""
    if KEY in request.headers:
        return request.headers.get(USER, ""), request.headers[KEY]
    scheme, _, packed = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None, None
    try:
        user, _, key = base64.b64decode(packed, validate=True).decode().partition(":")
    except ValueError:  # no base64, no ASCII or no UTF-8
        return "", ""
    return user, key


def told_to_drivers(request: web.Request) -> Callable[[Problem], web.Response] | None:
    """How problems of this address are told, as drivers expect them; None: it is another address."""
    return _told if request.path.startswith(PATH) else None


def _told(problem: Problem) -> web.Response:
    code, name = CODES.get(problem.code, CODES.get(problem.extra.get("reason", ""), OTHER))
    code = problem.extra.get("engine_code", code)
    detail = problem.detail.rstrip(".")
    said = detail if "engine_code" in problem.extra else f"{detail}. ({name})"
    headers = {"X-ClickHouse-Exception-Code": str(code)}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="red"'
    status = 400 if problem.status == 422 else problem.status
    response = web.Response(text=f"Code: {code}. DB::Exception: {said}\n", status=status, headers=headers)
    if problem.close:
        response.force_close()
    return response
