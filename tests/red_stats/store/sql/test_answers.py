"""What clients get: columns, formats, values of parameters, and the end of what takes too much."""

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from red_stats.domain.erasure import NEVER, Erased
from red_stats.domain.sql_limits import Limits
from red_stats.store.sql import parameters
from red_stats.store.sql.errors import MEMORY, ROWS_OR_BYTES, TIMEOUT, SqlFailed, SqlRefused, failed
from red_stats.store.sql.formats import FORMATS
from red_stats.store.sql.limits import settings_of
from red_stats.store.sql.questions import SqlText, answer
from red_stats.store.sql.relations import RELATIONS
from tests.red_stats.store.sql.conftest import asked_of

EVENTS = Path(parameters.__file__).parents[3] / "red_common" / "schemas" / "events"


@pytest.mark.parametrize("name", RELATIONS)
def test_columns_have_the_types_that_drivers_are_told(name, ask):
    columns = RELATIONS[name].columns
    types = ask(f"SELECT {', '.join(f'toTypeName({column.name})' for column in columns)} FROM {name} LIMIT 1")
    assert types.rstrip("\n").replace("\\'", "'").split("\t") == [column.type for column in columns]


@pytest.mark.parametrize(
    ("name", "event"), [("measurements", "measurement"), ("alerts", "alert"), ("deliveries", "delivery")]
)
def test_columns_are_the_fields_of_the_events(name, event):
    fields = json.loads((EVENTS / f"{event}.json").read_text())["properties"].keys()
    assert {column.name for column in RELATIONS[name].columns} == fields | {"client_id", "position"}


def test_amounts_are_shares_and_what_is_not_there_is_null(store, ask):
    store.command(
        "INSERT INTO red.measurements (client_id, image_id, red_bp, kafka_partition, kafka_offset)"
        " VALUES ('carl', 'i', 1234, 2, 99)"
    )
    store.command("INSERT INTO red.deliveries (client_id, id, attempt) VALUES ('carl', 'd', 1)")
    assert ask("SELECT red, position FROM measurements", client="carl") == "0.1234\t2:99\n"
    found = ask("SELECT alert_id, status, error, due_at FROM deliveries", client="carl")
    assert found == "\\N\t\\N\t\\N\t\\N\n"


def test_what_is_erased_does_not_show_before_it_is_gone(store):
    for table, position in (("measurements", ""), ("alerts", ", position"), ("deliveries", ", position")):
        about = ", concat('3:', toString(number + 7))" if position else ""
        attempt = ", attempt" if table == "deliveries" else ""
        store.command(
            f"INSERT INTO red.{table} (client_id, kafka_partition, kafka_offset{position}{attempt})"
            f" SELECT 'gone', 3, number + 7{about}{', 1' if attempt else ''} FROM numbers(5)"
        )

        def count(erased, table=table):
            text = SqlText(f"SELECT count() FROM {table} AS t JOIN {table} AS u USING (client_id)", {}, "TSV")
            return int(answer(store, "gone", text, "name", Limits(), erased).body)

        assert count(NEVER) == 25
        assert count(Erased(10, 0)) == 4


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_one_of_the_engine(name, store):
    assert store.query(f"SELECT count() FROM system.formats WHERE name = '{name}' AND is_output") == [(1,)]


def test_a_format_is_asked_for_beside_the_text_or_in_it(ask):
    assert ask("SELECT 1 AS x FORMAT JSONEachRow", format="CSV") == '{"x":1}\n'
    assert ask("SELECT 1 AS x", format="csvwithnames") == '"x"\n1\n'
    for format in ("Null", "Template", "no such"):
        with pytest.raises(SqlRefused):
            ask("SELECT 1", format=format)


@settings(max_examples=100)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_string_is_exactly_what_was_given(store, text):
    assert json.loads(asked_of(store, "SELECT {x:String} AS x", "JSONEachRow", x=text)) == {"x": text}


@pytest.mark.parametrize(
    ("type", "value", "text"),
    [
        ("UInt8", 5, "5"),
        ("Int64", -5, "-5"),
        ("Float64", 0.25, "0.25"),
        ("Bool", True, "true"),
        ("String", "a'b\\", "a\\'b\\\\"),
        ("Nullable(String)", None, "\\N"),
        ("Array(String)", ["a", "b'c"], "['a','b\\'c']"),
        ("Array(UInt8)", [1, 2], "[1,2]"),
        ("DateTime64(3, 'UTC')", "2026-01-01T00:00:00.5Z", "2026-01-01 00:00:00.500"),
        ("Date", "2026-01-01", "2026-01-01"),
        ("UUID", "3b9aca00-0000-4000-8000-000000000000", "3b9aca00-0000-4000-8000-000000000000"),
    ],
)
def test_a_value_of_json_becomes_one_of_its_type(type, value, text, ask):
    given = parameters.from_json({"x": value})
    assert ask(f"SELECT {{x:{type}}}", **given).rstrip("\n") == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": 1}, [{}]])
def test_a_value_that_has_no_text_is_refused(value):
    with pytest.raises(ValueError, match="no value"):
        parameters.from_json({"x": value})


def test_a_value_in_a_url_is_escaped_as_in_tab_separated():
    assert parameters.from_url("a\\tb\\\\c\\'d\\x41\\n") == "a\tb\\c'dA\n"
    assert parameters.from_url("\\N") is None


def test_a_value_limits_and_filters(ask):
    assert (
        ask("SELECT number FROM numbers(10) WHERE number > {a:UInt8} LIMIT {n:UInt8}", a="3", n="2")
        == "4\n5\n"
    )
    assert ask("SELECT number FROM numbers(5) WHERE number IN {l:Array(UInt8)}", l="[1,3]") == "1\n3\n"


def test_a_value_is_no_part_of_the_text(ask):
    evil = "anna') UNION ALL SELECT image_id FROM red.measurements --"
    assert ask("SELECT count() FROM measurements WHERE image_id = {x:String}", x=evil) == "0\n"
    with pytest.raises(SqlFailed):
        ask("SELECT {x:UInt8}", x="1 OR 1")
    with pytest.raises(SqlRefused, match="no parameter"):
        ask("SELECT 1", x="1")


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ("image_id LIKE 'anna%'", 3),
        ("image_id LIKE concat('%', {x:String}, '%')", 3),
        ("image_id LIKE '%' || {x:String} || '%'", 3),
        ("image_id LIKE '%_imag_'", 3),
        ("image_id ILIKE 'ANNA%'", 3),
        ("image_id NOT ILIKE 'ANNA%'", 0),
        ("lower(image_id) LIKE lower('%IMAGE')", 3),
        ("match(image_id, '^[a-z]{4}-(image|x)$')", 3),
        ("match(image_id, {x:String})", 3),
        ("extract(image_id, '-(.*)$') = 'image'", 3),
        ("position(image_id, {x:String}) = 6", 3),
        ("position(image_id, client_id) = 1", 3),
        ("client_id IN (lower('ANNA'))", 3),
        ("['x', 'anna'][toUInt8(2)] = client_id AND map('a', client_id)['a'] = client_id", 3),
    ],
)
def test_what_people_search_for_is_found(condition, count, ask):
    values = {"x": "image"} if "{x:" in condition else {}
    assert ask(f"SELECT count() FROM measurements WHERE {condition}", **values) == f"{count}\n"


@pytest.mark.parametrize(
    "search", ["match({}, 'b$')", "extract({}, 'b$') = 'b'", "{} LIKE '%a_b'", "{} NOT LIKE '%a_b'"]
)
def test_a_text_too_long_to_search_is_refused_and_none_is_cut_in_silence(search, ask):
    text = "concat(repeat('a', number), 'ab')"
    found = "0" if "NOT" in search else "1"
    asked = f"SELECT {search.format(text)} FROM numbers(510, 1)"
    assert ask(asked) == f"{found}\n"

    with pytest.raises(SqlFailed, match="too long"):
        ask(asked.replace("510", "511"))

    assert ask(f"SELECT {search.format(f'right({text}, 3)')} FROM numbers(5000, 1)") == f"{found}\n"
    assert ask(f"SELECT {search.format(f'nullIf({text}, {text})')} FROM numbers(1)") in ("\\N\n", "0\n")


def test_a_column_is_called_by_what_was_written(ask):
    found = ask(
        "SELECT match(image_id, 'a'), position(image_id, client_id), red FROM measurements", format="JSON"
    )
    assert [one["name"] for one in json.loads(found)["meta"]] == [
        "match(image_id, 'a')",
        "position(image_id, client_id)",
        "red",
    ]


SMALL = Limits(seconds=0.5, memory=64 << 20, rows=1000, result_bytes=1 << 20)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SELECT count() FROM numbers(1000000000000) WHERE number % 7 = 3", TIMEOUT),
        ("SELECT count() FROM numbers(100000000) AS a, numbers(100000000) AS b", MEMORY),
        ("SELECT 1 AS x ORDER BY x WITH FILL FROM 1 TO 100000000000", TIMEOUT),
        ("SELECT groupArray(number) FROM numbers(1000000000)", MEMORY),
        ("SELECT uniqExact(number) FROM numbers(1000000000)", MEMORY),
        ("SELECT number, count() FROM numbers(1000000000) GROUP BY number", MEMORY),
        ("SELECT length(range(500000000))", MEMORY),
        ("SELECT arrayMap(x -> repeat('a', 1000), range(10000000))", MEMORY),
        ("SELECT a.number FROM numbers(100000000) AS a JOIN numbers(100000000) AS b USING number", MEMORY),
        ("SELECT number FROM numbers(1001)", ROWS_OR_BYTES),
        ("SELECT repeat('x', 10000) FROM numbers(1000)", ROWS_OR_BYTES),
        ("SELECT repeat('x', 1000000), repeat('y', 1000000)", ROWS_OR_BYTES),
    ],
)  # fmt: skip
def test_what_takes_too_much_ends_with_the_limit_in_its_error(text, code, ask):
    limits = SMALL if code == TIMEOUT else SMALL._replace(seconds=20)
    with pytest.raises(SqlFailed) as ended:
        ask(text, limits=limits)
    assert ended.value.code == code
    said = f"{limits.seconds:g} s, 64 MiB of memory, 1000 rows and 1 MiB in the answer"
    assert said in str(ended.value)


def test_a_short_answer_in_a_long_format_is_bounded_too(ask):
    names = ", ".join(f"1 AS {'a' * 60}{n}" for n in range(50))
    with pytest.raises(SqlFailed, match="too long"):
        ask(f"SELECT {names} FROM numbers(1000)", format="JSONEachRow", limits=SMALL)


@pytest.mark.parametrize(
    "text",
    [
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count() FROM t",
        "WITH 1 AS a0, " + ", ".join(f"a{i} + a{i} AS a{i + 1}" for i in range(40)) + " SELECT a40",
        "WITH t0 AS (SELECT 1 AS x), "
        + ", ".join(f"t{i} AS (SELECT a.x FROM t{i - 1} AS a, t{i - 1} AS b)" for i in range(1, 25))
        + " SELECT count() FROM t24",
        "SELECT intDiv(toInt64(-9223372036854775808), -1)",
        "SELECT nosuch FROM measurements",
        "SELECT sum('a')",
        "SELECT match('a', '(')",
        "SELECT formatDateTime(now(), '%')",
    ],
)
def test_what_the_engine_refuses_is_one_short_line(text, ask):
    with pytest.raises(SqlFailed) as refused:
        ask(text)
    said = str(refused.value)
    assert len(said) < 500
    assert "\n" not in said
    for ours in ("In scope", "version 2", "red_bp", "kafka_", "/tmp"):
        assert ours not in said


def test_counting_goes_on_while_questions_reach_their_limits(store, ask):
    """The engine that records is the same one."""
    stopped, worst = threading.Event(), [0]

    def flood():
        for text in (
            "SELECT groupArray(number) FROM numbers(1000000000)",
            "SELECT length(range(500000000))",
        ) * 5:
            with pytest.raises(SqlFailed):
                ask(text, limits=SMALL)
            worst[0] += 1
        stopped.set()

    flooding = threading.Thread(target=flood)
    flooding.start()
    inserted = 0
    while not stopped.is_set():
        store.insert(
            "measurements", ("client_id", "image_id"), [[["dora"], [f"i{inserted}"]]], f"t{inserted}"
        )
        inserted += 1
    flooding.join()
    assert worst[0] == 10
    assert ask("SELECT count() FROM measurements", client="dora") == f"{inserted}\n"


def test_nothing_of_the_host_is_told():
    error = failed(
        "Code: 1. DB::Exception: Code: 47. DB::Exception: Cannot open /var/lib/red/x.bin: In scope SELECT a"
        " FROM b. (UNKNOWN_IDENTIFIER) (version 26.9.2.1). Stack trace: 0x1",
        "",
    )
    assert (error.code, str(error)) == (47, "Cannot open ...")
    assert failed("the connection was reset", "") is None


@pytest.mark.parametrize(("length", "told"), [(399, 399), (400, 400), (401, 403), (100_000, 403)])
def test_no_error_of_the_engine_is_long(length, told):
    said = "Unknown identifier " + "x" * (length - 19)
    error = failed(f"Code: 47. DB::Exception: {said}", "")
    assert len(str(error)) == told
    assert str(error).removesuffix("...") == said[:400]


def test_readonly_comes_last():
    assert list(settings_of("anna", "n", Limits()))[-1] == "readonly"
