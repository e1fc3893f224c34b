"""Two fences, each of which holds while the other is switched off."""

import time
from contextlib import suppress

import pytest

from red_stats.domain.sql_limits import Limits
from red_stats.store.clickhouse import StoreError
from red_stats.store.sql.errors import UNKNOWN_TABLE, SqlFailed, SqlRefused, failed
from red_stats.store.sql.functions import AGGREGATES, SCALARS
from red_stats.store.sql.judge import judge
from red_stats.store.sql.questions import SqlText, answer
from tests.red_stats.store.sql.attempts import BOTH, HOST_FILE, JUDGE_ONLY, MEMBERSHIP, NAMES, NO_TABLES, SLOW

VALUES = {"x": "eve' OR 1 --", "t": "red.measurements"}
TRIED = (
    *("file, [{}]", "[{}], file", "file, [{}], ''", "file, map('a', {})", "file, {}"),
    *("(file AS g), [{}]", "((file AS g) AS h), map('a', {})", "(file,), [{}]"),
)
NOBODY = None  # no store: it is not asked
HOST = "a line of the host"


@pytest.fixture
def places(tmp_path):
    host = tmp_path / "host"
    host.write_text(HOST)
    return {"host": host, "out": tmp_path / "out"}


def placed(text, places):
    return text.replace("{host}", str(places["host"])).replace("{out}", str(places["out"]))


def rows(store):
    return store.query("SELECT count(), sum(cityHash64(*)) FROM red.measurements")


def is_clean(found):
    """Nothing of eve's, but what the attempt itself says, and nothing of marker rows or the host."""
    return "eve-image" not in found.replace("'eve-image'", "") and HOST not in found


def test_there_are_enough_attempts():
    assert len(set(BOTH)) == len(BOTH)
    assert len(BOTH) + len(JUDGE_ONLY) >= 160


@pytest.mark.parametrize("text", JUDGE_ONLY)
def test_what_the_engine_would_do_is_refused_before_it(text, places):
    with pytest.raises(SqlRefused):
        answer(NOBODY, "anna", SqlText(placed(text, places), VALUES, "TSV", strict=False), "name", Limits())


@pytest.mark.parametrize("text", BOTH + NAMES)
def test_judging_holds_without_the_filters_of_the_engine(text, store, places, ask_engine):
    before = rows(store)
    try:
        sql = judge(placed(text, places), "anna", VALUES).sql
    except SqlRefused:
        return
    try:
        found = ask_engine(sql, "additional_table_filters", "readonly")
    except SqlFailed as failed:
        found = str(failed)
    assert is_clean(found)
    assert not places["out"].exists()
    assert rows(store) == before


@pytest.mark.parametrize("text", MEMBERSHIP)
def test_a_name_alone_is_no_table(text, ask_engine):
    with pytest.raises((SqlRefused, SqlFailed)):
        ask_engine(judge(text, "anna", {}).sql, "additional_table_filters")


@pytest.fixture(scope="module")
def _secrets(store):
    """A table of somebody else's in the database of every session, which has no filter of ours."""
    store.command("CREATE TABLE default.secrets (s String) ENGINE = MergeTree ORDER BY s")
    store.command("INSERT INTO default.secrets VALUES ('TOP')")
    yield
    store.command("DROP TABLE default.secrets")


@pytest.mark.parametrize("text", NO_TABLES)
def test_what_with_does_not_define_as_a_table_is_none(text):
    with pytest.raises(SqlRefused) as refused:
        judge(text, "anna", {})
    assert refused.value.reason in ("table", "name")


@pytest.mark.usefixtures("_secrets")
@pytest.mark.parametrize("text", [*NO_TABLES, "SELECT * FROM secrets", f"SELECT * FROM {HOST_FILE}"])
def test_a_name_alone_is_no_table_of_the_session(text, ask_engine):
    with suppress(SqlFailed):
        assert ask_engine(text).strip() in ("x", "0")


@pytest.mark.parametrize("name", [HOST_FILE, '"a/../../../../../../../../etc/no such file"'])
def test_a_name_of_a_file_is_no_table(name, ask_engine):
    with pytest.raises(SqlFailed) as refused:
        ask_engine(f"SELECT * FROM {name}")
    assert refused.value.code == UNKNOWN_TABLE


def test_a_table_of_ours_is_filtered_under_its_short_name_too(store, ask_engine):
    assert ask_engine("SELECT count(), uniqExact(client_id) FROM measurements") == "3\t1\n"
    store.command("CREATE TABLE red.measurements_rebuilt AS red.measurements")
    try:
        store.command("INSERT INTO red.measurements_rebuilt SELECT * FROM red.measurements")
        assert ask_engine("SELECT count() FROM red.measurements_rebuilt") == "0\n"
    finally:
        store.command("DROP TABLE red.measurements_rebuilt")


def test_no_error_tells_a_file_of_the_host_from_one_that_is_not_there():
    errors = [
        failed(f"Code: {code}. DB::Exception: {said} ({name})", "")
        for code, said, name in (
            (60, "Unknown table a", "UNKNOWN_TABLE"),
            (164, "Cannot create a in readonly mode", "READONLY"),
        )
    ]
    assert len({(error.code, str(error)) for error in errors}) == 1


@pytest.mark.parametrize("text", BOTH)
def test_the_engine_holds_without_judging(text, store, places, ask_engine):
    before = rows(store)
    try:
        found = ask_engine(placed(text, places))
    except (SqlFailed, StoreError) as failed:
        found = str(failed)
    assert is_clean(found)
    assert not places["out"].exists()
    assert rows(store) == before


@pytest.mark.system
def test_no_function_takes_a_name_for_a_function_that_is_not_allowed(places, store):
    path = f"'{places['host']}'"
    for name in (*AGGREGATES, *SCALARS):
        for arguments in TRIED:
            with suppress(SqlRefused, StoreError):
                sql = judge(f"SELECT {name}({arguments.format(path)})", "anna", {}).sql
                assert HOST not in str(store.query(sql)), sql


@pytest.mark.parametrize("fence", ["judging", "engine"])
def test_the_fences_can_fail(fence, store, ask_engine):
    """A control: without either there is nothing between anna and eve's rows."""
    sql = "SELECT image_id FROM red.measurements"
    if fence == "judging":
        assert "eve-image" in ask_engine(sql, "additional_table_filters")
        assert "eve-image" not in ask_engine(sql)
    else:
        assert "eve-image" not in ask_engine(judge(sql, "anna", {}).sql, "additional_table_filters")


@pytest.mark.parametrize("name", ["has", "hasAny", "indexOf", "rankCorr", "editDistance", "jaroSimilarity"])
def test_what_does_not_look_at_the_time_is_refused(name):
    with pytest.raises(SqlRefused):
        judge(f"SELECT {name}('a', 'b')", "anna", {})


@pytest.mark.parametrize("text", SLOW)
def test_no_search_goes_on_for_long_behind_the_limits(text, ask):
    began = time.monotonic()
    with suppress(SqlFailed, SqlRefused):
        ask(text, limits=Limits(seconds=1))
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    "text",
    [
        "SELECT positionCaseInsensitive('a', 'b')",
        "SELECT countMatches('a', 'a')",
        "SELECT match(x, x) FROM (SELECT 'a' AS x) AS t",
        "SELECT x LIKE x FROM (SELECT 'a' AS x) AS t",
        "SELECT match(x, '(0|1){90}') FROM (SELECT 'a' AS x) AS t",
        "SELECT match(x, '(?:a{9}){12}') FROM (SELECT 'a' AS x) AS t",
        f"SELECT x LIKE '%1{'_' * 100}' FROM (SELECT 'a' AS x) AS t",
        "SELECT match(x)",
        f"SELECT {', '.join(f'match(x, {n!r})' for n in ('[01]{70}1', '[01]{70}2', '[01]{70}3'))}"
        " FROM (SELECT 'a' AS x) AS t",
    ],
)
def test_a_search_without_bounds_is_refused(text):
    with pytest.raises(SqlRefused):
        judge(text, "anna", {})


def test_a_client_sees_its_own_rows_and_no_marker_rows(ask):
    for table, count in (("measurements", 3), ("alerts", 3), ("deliveries", 2)):
        assert (
            ask(f"SELECT count(), uniqExact(client_id), any(client_id) FROM {table}") == f"{count}\t1\tanna\n"
        )
        assert ask(f"SELECT count() FROM {table}", client="eve") == f"{count}\n"
        assert ask(f"SELECT count() FROM {table}", client="nobody") == "0\n"


@pytest.mark.parametrize("client", ["", "anna' OR 1 --", "Anna", "a" * 65])
def test_who_has_no_client_id_asks_nothing(client):
    with pytest.raises(ValueError, match="no client id"):
        judge("SELECT 1 FROM measurements", client, {})
