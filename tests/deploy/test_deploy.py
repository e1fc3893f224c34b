"""What deploy/ promises, read from compose.yaml as Compose would render it; nothing is started."""

import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

import red_service.settings
import red_stats.settings
from red_stats.__main__ import app
from red_stats.local.kafka_jars import read_lock

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
FILLED_IN = {"RED_SECRET_KEY": "ab" * 32, "CLICKHOUSE_PASSWORD": "cd" * 24}
BROKERS = ("kafka-1", "kafka-2", "kafka-3")
OURS = ("topics", "red-1", "red-2", "live-1", "live-2", "deliver", "record", "cli")
REDS, ONE_SHOTS = ("red-1", "red-2"), ("topics", "cli")
SERVERS = tuple(name for name in OURS if name not in ONE_SHOTS)
WORKERS = tuple(name for name in SERVERS if name not in REDS)
VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>\w+)|\{(?P<name>\w+)(?:(?P<kind>:?[-?])(?P<word>[^}]*))?\})"
)


class Missing(Exception):
    """Raised for `${NAME:?words}` without a value."""


def interpolated(node, variables, named=None):
    """Compose's interpolation of every text; `named` collects the variables' names."""
    if isinstance(node, dict):
        return {key: interpolated(value, variables, named) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolated(value, variables, named) for value in node]
    if not isinstance(node, str):
        return node

    def value(found):
        if found["escaped"]:
            return "$"
        name, kind = found["plain"] or found["name"], found["kind"] or ":-"
        if named is not None:
            named.add(name)
        given = variables.get(name)
        if given or (given is not None and not kind.startswith(":")):
            return given
        if kind.endswith("?"):
            raise Missing(name)
        return found["word"] or ""

    return VARIABLE.sub(value, node)


def variables_of(text, *, optional=False):
    """A file of `NAME=value` lines; with `optional` those behind a # as well."""
    lines = re.findall(rf"^{'#?' if optional else ''}([A-Z]\w*)=(.*)$", text, re.MULTILINE)
    return dict(lines)


def composed(variables, named=None):
    return interpolated(yaml.safe_load((DEPLOY / "compose.yaml").read_text()), variables, named)


def environment_of(service, variables):
    """As the container gets it: a variable without a value is taken over where it is set."""
    given = service.get("environment", {})
    taken = {name: variables.get(name) if value is None else str(value) for name, value in given.items()}
    return {name: value for name, value in taken.items() if value is not None}


EXAMPLE = (DEPLOY / ".env.example").read_text()
EVERYTHING = {**variables_of(EXAMPLE), **FILLED_IN}
COMPOSE = composed(EVERYTHING)
SERVICES = COMPOSE["services"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a ${A} $A ${B:-b} ${B-b}", "a 1 1 b "),
        ("${C-c} ${C:-c} ${C:-}", "c c "),
        ("$$A ${A:?words}", "$A 1"),
    ],
)
def test_variables_are_replaced_as_compose_replaces_them(text, shown):
    assert interpolated(text, {"A": "1", "B": ""}) == shown


@pytest.mark.parametrize("secret", FILLED_IN)
def test_nothing_starts_without_the_secrets(secret):
    with pytest.raises(Missing, match=secret):
        composed({**EVERYTHING, secret: ""})


def test_the_example_holds_no_secret():
    given = variables_of(EXAMPLE)
    assert {name: given[name] for name in FILLED_IN} == dict.fromkeys(FILLED_IN, "")


def test_the_example_names_every_variable_and_no_other():
    named = set()
    services = composed(EVERYTHING, named)["services"].values()
    taken_over = {
        name for one in services for name, value in one.get("environment", {}).items() if value is None
    }
    assert named | taken_over == set(variables_of(EXAMPLE, optional=True))


def test_what_the_example_shows_as_a_default_is_the_default():
    text = (DEPLOY / "compose.yaml").read_text()
    shown = variables_of(EXAMPLE, optional=True)
    defaults = re.findall(r"\$\{(\w+):-(\w[^}]*)\}", text)
    assert {"RED_PARTITIONS", "PORT_RED_1"} <= {name for name, _ in defaults}
    different = {name for name, default in defaults if shown[name] != default}
    assert different == {"RED_METRICS_PUBLIC"}  # which is there to be switched on


def test_every_service_is_known_here():
    assert set(SERVICES) == {*BROKERS, "clickhouse", *OURS}


@pytest.mark.parametrize("name", OURS)
def test_our_services_may_do_no_more_than_they_need(name):
    service = SERVICES[name]
    uid, _, gid = service["user"].partition(":")
    assert int(uid) >= 10_000
    assert int(gid) >= 10_000
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    assert "/tmp" in service["tmpfs"]


@pytest.mark.parametrize("name", SERVERS)
def test_what_our_servers_write_is_somewhere_to_be_written(name):
    service = SERVICES[name]
    mounted = [volume.partition(":")[2] for volume in service.get("volumes", ())]
    mounted += [mount.partition(":")[0] for mount in service["tmpfs"]]
    assert "/data" in mounted


@pytest.mark.parametrize("name", [*BROKERS, "clickhouse", *SERVERS])
def test_every_server_is_looked_after_and_started_again(name):
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize(("name", "port"), [*((r, 8080) for r in REDS), *((w, 6066) for w in WORKERS)])
def test_ours_are_healthy_when_they_are_ready(name, port, status):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *words):
            pass

    kind, program, *arguments = SERVICES[name]["healthcheck"]["test"]
    assert (kind, program) == ("CMD", "python")
    assert f"http://127.0.0.1:{port}/" in arguments[-1]
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        there = [word.replace(f":{port}/", f":{server.server_port}/") for word in arguments]
        elsewhere = {"http_proxy": "http://127.0.0.1:9", "PATH": ""}
        done = subprocess.run([sys.executable, *there], env=elsewhere, capture_output=True, check=False)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert asked == ["/health/ready"]
    assert (done.returncode == 0) == (status == 200)


@pytest.mark.parametrize("name", OURS)
def test_every_setting_is_a_known_one_with_a_good_value(name, monkeypatch):
    package = red_service.settings if name in REDS else red_stats.settings
    given = environment_of(SERVICES[name], EVERYTHING)
    ours = {key: value for key, value in given.items() if key.startswith("RED_")}
    assert set(ours) <= {row["name"] for row in package.described()}

    for key, value in ours.items():
        monkeypatch.setenv(key, value)
    assert package.load().kafka == ",".join(f"{broker}:9092" for broker in BROKERS)


@pytest.mark.parametrize("name", OURS)
def test_what_is_optional_in_the_example_is_a_good_value_too(name, monkeypatch):
    package = red_service.settings if name in REDS else red_stats.settings
    variables = {**variables_of(EXAMPLE, optional=True), **FILLED_IN}
    for key, value in environment_of(composed(variables)["services"][name], variables).items():
        monkeypatch.setenv(key, value)
    package.load()


@pytest.mark.parametrize("name", [name for name in OURS if name != "cli"])
def test_every_command_is_one_of_red_stats(name):
    app.parse_args(SERVICES[name]["command"], print_error=False, exit_on_error=False)


def test_whatever_tells_the_page_and_questions_in_sql_how_it_is_may_be_set():
    variables = {**variables_of(EXAMPLE, optional=True), **FILLED_IN}
    services = composed(variables)["services"]
    asks = {row["name"] for row in red_stats.settings.described() if row["name"].startswith("RED_SQL_")}
    assert len(asks) == 5
    for name in ("live-1", "live-2"):
        assert {*asks, "RED_PAGE_RED_URL"} <= environment_of(services[name], variables).keys()
    assert asks <= environment_of(services["cli"], variables).keys()  # makes users of ClickHouse
    for name in REDS:
        assert "RED_PAGE_ORIGINS" in environment_of(services[name], variables)


def test_every_role_is_run():
    roles = [SERVICES[name]["command"] for name in WORKERS]
    assert sorted(role[-1] for role in roles) == ["deliver", "live", "live", "record"]


def test_no_two_have_the_same_name():
    names = [SERVICES[name]["environment"]["RED_INSTANCE"] for name in SERVERS]
    assert len(set(names)) == len(names)


def test_a_worker_of_role_live_tells_where_it_is():
    for name in ("live-1", "live-2"):
        assert SERVICES[name]["environment"]["RED_STATS_URL_ADVERTISED"] == f"http://{name}:6066"


def test_only_who_seals_secrets_or_knows_api_keys_has_the_secret_key():
    have = {name for name in OURS if "RED_SECRET_KEY" in SERVICES[name]["environment"]}
    assert have == {*REDS, *WORKERS, "cli"}


def test_topics_are_made_as_the_workers_expect_them():
    environment = SERVICES["topics"]["environment"]
    assert environment["RED_REPLICATION"] == len(BROKERS)
    assert {SERVICES[name]["environment"]["RED_PARTITIONS"] for name in ("topics", "cli", *WORKERS)} == {"4"}


def test_ours_start_when_the_topics_are_there():
    for name in (*SERVERS, "cli"):
        assert SERVICES[name]["depends_on"]["topics"] == {"condition": "service_completed_successfully"}
    assert {SERVICES["topics"]["depends_on"][broker]["condition"] for broker in BROKERS} == {
        "service_healthy"
    }
    assert SERVICES["record"]["depends_on"]["clickhouse"] == {"condition": "service_healthy"}


def test_what_kafka_acknowledged_outlives_a_broker():
    for name in BROKERS:
        given = SERVICES[name]["environment"]
        replicas = {key: value for key, value in given.items() if key.endswith("REPLICATION_FACTOR")}
        in_sync = {
            key: value for key, value in given.items() if key.endswith(("MIN_ISR", "MIN_INSYNC_REPLICAS"))
        }
        assert (len(replicas), set(replicas.values())) == (4, {3})
        assert (len(in_sync), set(in_sync.values())) == (3, {2})
        assert given["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_the_brokers_know_each_other():
    voters = {f"{number}@{name}:9093" for number, name in enumerate(BROKERS, 1)}
    for number, name in enumerate(BROKERS, 1):
        given = SERVICES[name]["environment"]
        assert given["KAFKA_NODE_ID"] == number
        assert set(given["KAFKA_CONTROLLER_QUORUM_VOTERS"].split(",")) == voters
        assert given["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{name}:9092"
        assert f"{name}:{given['KAFKA_LOG_DIRS']}" in SERVICES[name]["volumes"]


def test_the_brokers_are_of_the_version_that_up_runs():
    (version,) = {jar.version for jar in read_lock() if jar.artifact == "kafka-clients"}
    assert {SERVICES[name]["image"] for name in BROKERS} == {f"apache/kafka:{version}"}


def test_every_image_has_a_tag():
    for name, service in SERVICES.items():
        assert re.fullmatch(r"[a-z/-]+:(?!latest)[\w.-]+", service["image"]), name


def test_kafka_and_clickhouse_are_reached_by_the_services_only():
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name in (*BROKERS, "clickhouse", "topics", "record", "cli"):
        assert SERVICES[name]["networks"] == ["inside"], name
        assert "ports" not in SERVICES[name], name
        assert "network_mode" not in SERVICES[name], name


def test_what_is_published_is_published_on_this_host_only_and_once():
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(published) == 4
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len({port.split(":")[1] for port in published}) == len(published)


def test_every_volume_is_a_named_one_and_declared():
    mounted = [volume.partition(":")[0] for one in SERVICES.values() for volume in one.get("volumes", ())]
    assert set(mounted) == set(COMPOSE["volumes"])
    assert sorted(mounted) == ["clickhouse", "images", "images", *BROKERS]


def instructions():
    """Of the Dockerfile: (instruction, rest), continued lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines) if word]


def test_the_image_has_the_user_and_the_folder_that_compose_expects():
    last = [number for number, (word, _) in enumerate(instructions()) if word == "FROM"][-1]
    final = instructions()[last:]
    assert [rest for word, rest in final if word == "USER"] == [SERVICES["red-1"]["user"]]
    assert [rest for word, rest in final if word == "VOLUME"] == ["/data"]
    assert [rest for word, rest in final if word == "ENTRYPOINT"] == ['["red-stats"]']
    assert any(word == "ENV" and "RED_DATA=/data" in rest for word, rest in final)
    assert not any("apt-get" in rest or "pip" in rest for _, rest in final)


def test_the_image_is_made_of_files_that_are_there_and_sent_to_the_build():
    copies = [rest.split() for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    copied = {name for words in copies for name in words[:-1]}
    assert {"requirements.txt", "pyproject.toml", "red_common", "red_service", "red_stats"} <= copied
    assert {name for name in copied if not (ROOT / name).exists()} == set()
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == copied
