"""An image that takes over a decoder finds a process that can do nothing but decode."""

import errno
import json
import mmap
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from red_service.decoding import fences, landlock
from red_service.decoding.pool import DecoderPool
from red_service.decoding.worker import LENGTH
from red_service.problems import Rejected
from tests.red_service import builders as b
from tests.red_service.decoding.mutations import mutations, originals
from tests.red_service.decoding.verdicts import CASES, verdict

pytestmark = pytest.mark.system
ROOT = Path(__file__).parents[3]
ATTACKS = "tests.red_service.decoding.attacks"
#: What Landlock alone denies, by the version that brought it.
BY_LANDLOCK = {
    "read a file": 1,
    "read a file of ours": 1,
    "list a folder": 1,
    "create a file": 1,
    "make a folder": 1,
    "remove a file": 1,
    "read another's memory": 1,
    "execute a program": 1,
    "trace another process": 1,
    "truncate a file": 3,
    "connect over TCP": 4,
    "listen on TCP": 4,
    "signal another process": 6,
}


@pytest.fixture
def target(tmp_path):
    """A folder, a port that listens and a process, as the arguments of attacks."""
    for name in ("theirs", "gone"):
        (tmp_path / name).write_bytes(b"of another client")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        other = subprocess.Popen(["sleep", "120"])
        try:
            yield [str(tmp_path), str(listener.getsockname()[1]), str(other.pid)]
        finally:
            other.kill()
            other.wait()


def attacked(kind, target):
    command = [sys.executable, "-m", ATTACKS, kind, *target]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=60, check=True)
    return json.loads(done.stdout)


def needs(fence):
    """Skips where this machine's kernel lacks the fence: another process tries it."""
    code = (
        f"from red_service.decoding import fences; print(fences.put_up({{{fence!r}: fences.ALL[{fence!r}]}}))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    if "without" in told.stdout:
        pytest.skip(told.stdout)


def thread_only(found):
    return {name: "done" if name == "start a thread" else "denied" for name in found}


def test_without_fences_every_attack_goes_through(target):
    """The control: an attack that fails anyway would prove nothing."""
    found = attacked("none", target)

    failed = {name for name, outcome in found.items() if outcome != "done"}
    assert failed <= {"make a user namespace"}  # which some machines deny to everybody


def test_landlock_alone_denies_files_tcp_programs_and_signals(target):
    needs("Landlock")

    found = attacked("Landlock", target)

    wanted = {name for name, since in BY_LANDLOCK.items() if since <= landlock.version()}
    assert {name for name in wanted if found[name] != "denied"} == set()


def test_seccomp_alone_denies_everything_but_threads(target):
    needs("seccomp")

    found = attacked("seccomp", target)

    assert found == thread_only(found)


def test_code_in_a_decoder_has_no_files_network_programs_or_processes(target):
    needs("seccomp")

    with a_decoder(*target) as ask:
        found = json.loads(ask(b"attack")["verdict"]["detail"])

    assert found == thread_only(found)
    assert (Path(target[0]) / "theirs").read_bytes() == b"of another client"


@contextmanager
def a_decoder(*target):
    """A decoder as the pool starts it, but that attacks instead of measuring."""
    memory = os.memfd_create("image")
    os.ftruncate(memory, mmap.PAGESIZE)
    arguments = [*target, str(os.getpid()), str(memory), str(1536 << 20), "5.0"]
    process = subprocess.Popen(
        [sys.executable, "-m", ATTACKS, "decoder", *arguments],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(memory,),
    )  # fmt: skip

    def frame():
        return json.loads(process.stdout.read(int.from_bytes(process.stdout.read(LENGTH))))

    def ask(content):
        process.stdin.write(len(content).to_bytes(LENGTH))
        process.stdin.flush()
        return frame()

    try:
        assert frame()["missing"] == []
        yield ask
    finally:
        os.close(memory)
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


async def test_every_image_good_or_damaged_is_measured_behind_the_fences_as_without():
    """Nothing is loaded, opened or started late: it would be refused there, and the image with it."""
    contents = [path.read_bytes() for path in CASES.iterdir()]
    contents += [*originals(), b.encoded(b.smooth(), "HEIF"), *filter(None, mutations(2000, seed=3))]
    pool = DecoderPool(1)
    await pool.start()
    try:
        for content in contents:
            try:
                found = await pool.measure(content)
                told = {name: getattr(found, name) for name in found.__struct_fields__ if name != "decoder"}
            except Rejected as rejected:
                told = rejected.code
            assert told == verdict(content)
    finally:
        await pool.stop()


async def test_the_kernel_says_that_the_decoders_of_a_pool_are_fenced(caplog):
    needs("seccomp")
    caplog.set_level("INFO")
    pool = DecoderPool(1)
    await pool.start()
    try:
        assert len(children()) == 2
        for process in children():
            status = Path(f"/proc/{process}/status").read_text()
            assert "NoNewPrivs:\t1" in status
            assert "Seccomp:\t2" in status
    finally:
        await pool.stop()
    assert "decoders are fenced by " in caplog.text


def children():
    here = Path(f"/proc/{os.getpid()}/task")
    found = [pid for task in here.iterdir() for pid in (task / "children").read_text().split()]
    return [
        pid for pid in found if b"red_service.decoding.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def lacking():
    raise OSError(errno.ENOSYS, "Not there")


def test_a_kernel_without_a_fence_is_told_and_nothing_fails():
    found = fences.put_up({"Landlock": lacking, "seccomp": lacking})

    assert str(found) == "fenced by nothing; without Landlock (Not there); without seccomp (Not there)"
