"""`measure` tells of every file, sums up, and ends in one line when it is interrupted."""

import json
import signal
import subprocess
import sys
import time
from functools import partial

import psutil
import pytest

from red_service import local_files
from red_service.decoding.pool import DecoderPool
from tests.red_service import builders as b
from tests.services import hear_interrupts

pytestmark = pytest.mark.system  # decoders are processes
FILES = 200


def measure(*arguments):
    command = [sys.executable, "-m", "red_service", "measure", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def album(tmp_path):
    (tmp_path / "red.png").write_bytes(b.a_png())
    (tmp_path / "white.png").write_bytes(b.a_png(b.WHITE))
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_bytes(b"")
    return tmp_path


def test_measure_sums_up_and_says_what_it_left_out_and_why(album):
    done = measure(album)

    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "2 measured, 1 refused, 1 skipped"
    assert f"{album}/notes.txt: skipped: not an image by its name" in done.stderr
    assert f"{album}/broken.jpg: unsupported_format: " in done.stderr


def test_measure_sums_up_beside_its_json(album):
    done = measure("--json", album)

    assert len(json.loads(done.stdout)) == 3
    assert done.stderr.splitlines()[-1] == "2 measured, 1 refused, 1 skipped"


@pytest.mark.parametrize("as_json", [False, True])
def test_an_interrupted_measure_ends_in_one_line_with_what_was_done(tmp_path, as_json):
    content = b.encoded(b.noise((1500, 1000)))
    for number in range(FILES):
        (tmp_path / f"{number:03}.png").write_bytes(content)
    (tmp_path / "000.jpg").write_bytes(b"no image")  # the first, whose line says that the others have begun
    command = [
        sys.executable,
        "-m",
        "red_service",
        "measure",
        *(["--json"] if as_json else []),
        str(tmp_path),
    ]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    ) as process:
        if not as_json:
            process.stderr.readline()
            process.stdout.readline()
        else:
            until_decoding(process.pid)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    assert process.returncode == 130
    [last] = [line for line in err.splitlines() if "interrupted" in line]
    numbers = [int(word) for word in last.split() if word.isdigit()]
    assert last.startswith("red: interrupted: ")
    assert sum(numbers) == FILES + 1
    assert numbers[-1] > 0
    assert "Traceback" not in err
    if as_json:
        assert len(json.loads(out)) == numbers[0] + numbers[1]


def until_decoding(pid):
    """Returns once a decoder of the process has used a second of processor time."""
    deadline = time.monotonic() + 60
    while not any(worker.cpu_times().user > 1 for worker in psutil.Process(pid).children()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def test_files_that_wait_for_each_other_are_never_overloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(local_files, "DecoderPool", partial(DecoderPool, queue_seconds=0.0))
    paths = [tmp_path / f"{number}.png" for number in range(8)]
    for path in paths:
        path.write_bytes(b.encoded(b.noise((300, 200))))

    items = [item async for item in local_files.measurements(paths)]

    assert [item.get("problem") for item in items] == [None] * 8


def test_measure_without_decoders_says_so_in_one_line(album):
    program = (
        "import red_service.decoding.pool as pool; pool.sys.executable = '/bin/false'\n"
        "import sys; sys.argv[1:] = ['measure', sys.argv[1]]\n"
        "from red_service.__main__ import main; main()"
    )
    command = [sys.executable, "-c", program, str(album)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("red: the decoders do not start: ")


def test_whoever_reads_the_lines_may_stop_before_the_end(album):
    command = f"{sys.executable} -m red_service measure {album} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)

    assert "Traceback" not in done.stderr
