"""`red-stats up` as a new user meets it: everything on one machine, on ports and a folder of its own."""

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil
import pytest

from tests.conftest import free_port
from tests.receiver import Receiver
from tests.services import ALL
from tests.system.up import ROOT


def pasted(lines, up):
    """What a shell in the repository answers, line by line."""
    done = subprocess.run(
        ["bash", "-c", lines], cwd=ROOT, env=up.environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_ready_line_names_the_addresses_and_the_keys_are_their_owners(up):
    ready = up.out.read_text().splitlines()[0]
    assert ready == f"ready RED {up.red} RED_STATS {up.stats} Kafka 127.0.0.1:{up.ports['RED_KAFKA_PORT']}"
    assert (up.folder / "data" / "keys.json").stat().st_mode & 0o777 == 0o600
    assert (up.folder / "data" / "secret.key").stat().st_mode & 0o777 == 0o600
    assert up.keys["demo"]["client_id"] == "demo"
    assert "127.0.0.1/32" in up.err.read_text()


def curl_lines(text):
    return "\n".join(line for line in text.splitlines() if re.match(r"KEY=|POSITION=|curl ", line))


def test_the_lines_that_up_prints_work_when_pasted(up):
    answers = pasted(curl_lines(up.out.read_text()), up)
    assert '"red":0.4339' in answers
    assert re.search(r'"over":[1-9]', answers), answers
    assert '"secret":"whsec_' in answers


def test_the_lines_of_the_readme_work_when_pasted(up):
    block = re.search(r"```sh\n(KEY=.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    here = {"8080": up.ports["RED_PORT"], "6066": up.ports["RED_STATS_PORT"]}
    for port, mine in here.items():
        block = block.replace(f"127.0.0.1:{port}", f"127.0.0.1:{mine}")
    block = block.replace("data/keys.json", str(up.folder / "data" / "keys.json"))
    answers = pasted(block, up)
    assert '"red":0.4339' in answers
    assert '"images":' in answers


def test_up_and_its_children_may_have_as_many_files_open_as_the_hard_limit_allows(up):
    process = psutil.Process(up.process.pid)
    for one in (process, *process.children()):
        soft, hard = one.rlimit(psutil.RLIMIT_NOFILE)
        assert soft == hard, one.cmdline()


async def test_an_image_reaches_a_webhook_and_verify_agrees(up, demo):
    async with Receiver() as receiver:
        subscription = await demo.subscribed(type("S", (), {"url": up.stats}), receiver.url)
        receiver.secrets.append(subscription["secret"])
        image = (ROOT / "docs/images/poppies.jpg").read_bytes()
        await demo.sent(type("S", (), {"url": up.red}), image)
        await receiver.until(1)
        assert receiver.got[0].verified
        await demo.call("DELETE", f"{up.stats}/v1/subscriptions/{subscription['id']}")
    done = await asyncio.to_thread(up.command, "verify", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["equal"] is True
    assert report["log"] == report["clickhouse"] >= 1
    assert report["live"] == report["log_in_windows"] >= 1


def status_of(url, key):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def until_status(url, key, status):
    """Both services follow the keys; a limit that only a failure reaches."""
    deadline = time.monotonic() + 20
    while (found := status_of(url, key)) != status:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_what_is_written_is_for_its_user_alone(up):
    files = [path for path in (up.folder / "data").rglob("*") if path.is_file()]
    assert {"keys.json", "secret.key", "store.json"} <= {path.name for path in files}
    assert [path for path in files if path.stat().st_mode & 0o077] == []


def test_keys_are_made_and_revoked_while_the_services_run(up):
    made = json.loads(up.command("keys", "create", "anna", "--scope", "statistics", "--json").stdout)
    assert made["client_id"] == "anna"
    assert made["scopes"] == ["statistics"]
    until_status(f"{up.stats}/v1/live", made["api_key"], 200)
    until_status(f"{up.red}/red/images/x", made["api_key"], 403)
    assert up.command("keys", "revoke", made["key_id"]).returncode == 0
    until_status(f"{up.stats}/v1/live", made["api_key"], 401)
    until_status(f"{up.red}/red/images/x", made["api_key"], 401)
    listed = {key["key_id"]: key for key in json.loads(up.command("keys", "list", "--json").stdout)}
    assert listed[made["key_id"]]["revoked_at"]
    for arguments, code in ((("keys", "revoke", "nothing"), 1), (("keys", "create", "NO!"), 2)):
        done = up.command(*arguments)
        assert (done.returncode, len(done.stderr.splitlines())) == (code, 1)


@pytest.mark.parametrize(
    ("change", "word"),
    [({}, "in use by another red-stats"), ({"RED_DATA": "other"}, "RED_KAFKA_PORT")],
)
def test_a_second_instance_is_told_what_to_do_in_one_line(up, tmp_path, change, word):
    environment = up.environment | {name: str(tmp_path / value) for name, value in change.items()}
    done = subprocess.run(
        [sys.executable, "-m", "red_stats", "up"],
        env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("red-stats: ")
    assert word in last
    assert "Traceback" not in done.stderr


def test_a_child_that_dies_is_named_and_started_again(up):
    for word, name in (
        ("red_service", "red"), ("worker --role live,record", "worker"), ("worker --role deliver", "deliver"),
    ):  # fmt: skip
        before = up.child(word)
        before.kill()
        deadline = time.monotonic() + 30
        url = (up.red if name == "red" else up.stats) + "/health/ready"
        while True:
            assert time.monotonic() < deadline
            try:
                if up.child(word).pid != before.pid and status_of(url, "") == 200:
                    break
            except (StopIteration, psutil.Error, OSError):
                pass
            time.sleep(0.1)
        assert f"{name} died (killed by SIGKILL) and is started again" in up.err.read_text()


async def test_counts_and_statistics_go_on_while_the_process_that_sends_webhooks_hangs(up, demo):
    red, stats = type("S", (), {"url": up.red}), type("S", (), {"url": up.stats})
    hung = up.child("worker --role deliver")
    async with Receiver() as receiver:
        await demo.subscribed(stats, receiver.url, 0.1)
        hung.suspend()
        item = await demo.sent(red, (ROOT / "docs/images/poppies.jpg").read_bytes())
        for view in ("/v1/live?", f"/v1/statistics?{ALL}&"):
            status, _ = await demo.call("GET", f"{up.stats}{view}at_least={item['position']}")
            assert status == 200
        assert receiver.got == []
        hung.resume()
        await receiver.until(1)


async def test_a_restart_keeps_everything_and_reaches_a_receiver_that_was_down(up, demo):
    everything = f"{up.stats}/v1/statistics?{ALL}"
    port = free_port()
    red, stats = type("S", (), {"url": up.red}), type("S", (), {"url": up.stats})
    subscription = await demo.subscribed(stats, f"http://127.0.0.1:{port}/", 0.1)
    image = (ROOT / "docs/images/poppies.jpg").read_bytes()
    item = await demo.sent(red, image)
    _, before = await demo.call("GET", f"{everything}&at_least={item['position']}")
    _, live = await demo.call("GET", f"{up.stats}/v1/live?at_least={item['position']}")

    started = time.monotonic()
    code = await asyncio.to_thread(up.stop)
    assert (code, time.monotonic() - started < 10) == (0, True)
    assert not [child for child in up.children if child.is_running()]
    await asyncio.to_thread(up.start)

    async with Receiver(port=port) as receiver:
        receiver.secrets.append(subscription["secret"])
        await receiver.until(1, seconds=60)
        assert receiver.got[0].verified
        assert receiver.got[0].body["data"]["image_id"] == item["image_id"]
    _, after = await demo.call("GET", f"{everything}&at_least={item['position']}")
    _, live_after = await demo.call("GET", f"{up.stats}/v1/live?at_least={item['position']}")
    assert after["images"] == before["images"]
    assert live_after["totals"]["24h"] == live["totals"]["24h"]
    status, _ = await demo.call("GET", f"{up.red}/red/images/{item['image_id']}")
    assert status == 200


def test_children_die_with_a_supervisor_that_is_killed(up):
    family = up.family()
    assert len(family) >= 4
    up.process.kill()
    up.process.wait()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    up.start()  # and the next start finds everything
    assert status_of(f"{up.stats}/v1/live", up.keys["demo"]["api_key"]) == 200


def test_the_demo_client_asks_sql_without_a_word_about_keys(up):
    done = up.command(
        "sql", "SELECT count() >= 0 AS x, any(client_id) IN ('', 'demo') FROM measurements", "--format", "CSV"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1,1\n", "")


def test_users_of_a_server_are_printed_and_made_only_where_there_is_one(up):
    done = up.command("sql-users", "anna")
    assert done.returncode == 0
    assert "CREATE USER OR REPLACE `red_anna`" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("-- user red_anna, password ")
    for wrong in (("sql-users", "anna", "--apply"), ("sql-users", "A`")):
        done = up.command(*wrong)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
