"""What a client computes never comes by another one's rows, not even where an error would tell of them."""

import pytest

from red_stats.store.sql.errors import failed
from red_stats.store.sql.judge import judge
from red_stats.store.sql.limits import settings_of
from red_stats.store.sql.relations import DATABASE, RELATIONS
from tests.red_stats.store.sql.conftest import DEFAULT

TABLES = {
    "measurements": ("image_id", ("rule", "format", "decoder")),
    "alerts": ("id", ("subscription_id",)),
    "deliveries": ("id", ("subscription_id", "state")),
}
#: Each fails or tells once it runs on a value that begins with eve or on an empty one.
STRICT = [
    "toUInt8({x}) = 9",
    "intDiv(1, toUInt8({x} = 'anna-0')) = 1",
    "toUUID({x}) = toUUID('3b9aca00-0000-4000-8000-000000000000')",
    "toIPv4({x}) = toIPv4('1.1.1.1')",
    "toDecimal32({x}, 2) = 1",
    "CAST({x} AS Enum8('anna-0' = 1, 'anna-1' = 2, 'anna-2' = 3)) = 'anna-1'",
    "base64Decode({x}) = 'x'",
    "toDateTime({x}) = now()",
    "toFixedString({x}, 1) = 'x'",
]
PLACES = [
    "SELECT count() FROM {t} WHERE {p}",
    "SELECT count() FROM {t} WHERE NOT ({p}) AND {x} != 'x'",
    "SELECT {x} FROM {t} QUALIFY {p}",
    "SELECT {x} FROM {t} GROUP BY {x} HAVING {p}",
    "SELECT count() FROM {t} AS a JOIN {t} AS b ON a.{x} = b.{x} WHERE {p}",
    "SELECT count() FROM {t} AS {t} JOIN numbers(1) AS b ON {p} AND number = 0",
    "SELECT {x} FROM {t} ORDER BY {p} LIMIT 1",
    "SELECT countIf({p}) FROM {t}",
    "SELECT {p}, count() FROM {t} GROUP BY 1",
]


@pytest.fixture(scope="module", autouse=True)
def _granule(store):
    """Rows of three clients and marker rows side by side, from one insert."""
    for table, (column, low) in TABLES.items():
        names = ("client_id", column, *low, *(("attempt",) if table == "deliveries" else ()))
        of = "['', 'anna', 'eve', 'zoe'][1 + number % 4]"
        values = [
            of if name == "client_id" else "1" if name == "attempt" else f"concat({of}, '-', {number})"
            for name, number in zip(names, ["0", *["toString(intDiv(number, 4))"] * 9], strict=False)
        ]
        store.command(
            f"INSERT INTO {DATABASE}.{table} ({', '.join(names)}) SELECT {', '.join(values)} FROM numbers(12)"
        )


def conditions(column):
    safe = f"{column} LIKE 'anna%'"
    return [f"if({safe}, 0, {one.format(x=column)})" for one in STRICT]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("table", TABLES)
def test_nothing_is_computed_of_rows_of_others(table, place, ask):
    for condition in conditions(TABLES[table][0]):
        ask(place.format(t=table, x=TABLES[table][0], p=condition))


@pytest.mark.parametrize("table", TABLES)
def test_nothing_is_computed_of_rows_of_others_though_nobody_judged(table, ask_engine):
    for condition in conditions(TABLES[table][0]):
        ask_engine(f"SELECT count() FROM red.{table} WHERE {condition}")


@pytest.mark.parametrize("table", TABLES)
def test_nothing_is_computed_of_rows_of_others_though_the_engine_has_no_filter(table, ask_engine):
    for condition in conditions(TABLES[table][0]):
        sql = judge(f"SELECT count() FROM {table} WHERE {condition}", "anna", {}).sql
        ask_engine(sql, "additional_table_filters", "optimize_move_to_prewhere")


LEAKS = [
    "base64Decode(extract({x}, '^[ez].*'))",
    "toFixedString(extract({x}, '^[ez].*'), 1)",
    "toUInt8(concat('1', extract({x}, '^[ez].*')))",
    "space(if({x} LIKE 'a%' OR {x} = '', 0, 10000000000))",
]


@pytest.mark.parametrize("made", ["{x}", "toLowCardinality({x})", "CAST({x} AS LowCardinality(String))"])
@pytest.mark.parametrize("table", TABLES)
def test_nothing_is_computed_of_values_of_others(table, made, ask):
    for column in ("client_id", *TABLES[table][1]):
        for leak in LEAKS:
            expression = leak.format(x=made.format(x=column))
            ask(f"SELECT {expression} FROM {table} WHERE {TABLES[table][0]} LIKE 'anna-%'")


def test_the_engine_filters_every_table_of_ours(store, ask_engine):
    tables = [name for [name] in store.query("SELECT name FROM system.tables WHERE database = 'red'")]
    filters = settings_of("anna", "n", DEFAULT)["additional_table_filters"]
    assert [name for name in tables if f"'{DATABASE}.{name}':" not in filters] == []
    store.command(f"INSERT INTO {DATABASE}.daily (client_id, images) VALUES ('eve', 1)")
    for table in {*tables} - {*RELATIONS}:
        assert ask_engine(f"SELECT count() FROM {DATABASE}.{table}") == "0\n", table


@pytest.mark.parametrize("format", ["JSON", "JSONCompact", "JSONColumnsWithMetadata", "XML"])
def test_no_format_counts_rows_of_others(format, ask):
    said = ask("SELECT image_id FROM measurements LIMIT 1", format=format)
    assert "anna" in said
    assert "rows_read" not in said


def test_conditions_use_the_index_of_a_client_and_its_times(store):
    sql = judge("SELECT count() FROM measurements WHERE measured_at > '2026-01-01'", "anna", {}).sql
    said = "".join(line for [line] in store.query(f"EXPLAIN indexes = 1 {sql}"))
    assert "client_id in ['anna', 'anna']" in said
    assert "measured_at in (" in said


@pytest.mark.parametrize(
    "text",
    [
        "Cannot parse string 'eve' as UInt8 (CANNOT_PARSE_TEXT)",
        "Cannot parse 'a' eve' b' (INCORRECT_DATA)",
        "Cannot parse uuid 3.14eve (CANNOT_PARSE_UUID)",
        "Unexpected eve here, value (eve) (INCORRECT_DATA)",
        "cannot compile re2: (eve, error: missing ): (eve. Look at (CANNOT_COMPILE_REGEXP)",
    ],
)
def test_an_error_quotes_no_values(text):
    said = str(failed(f"Code: 6. DB::Exception: {text}", ""))
    assert "eve" not in said
    assert said.split("(")[-1] == text.split("(")[-1]
