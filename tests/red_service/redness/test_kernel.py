"""The C kernel: every colour there is, every build, and what happens without one."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from red_common import c_library
from red_service.redness import count, kernel
from red_service.redness.rule import tally_pixels
from tests.red_service import builders as b

RAMP = np.arange(256, dtype=np.uint8)


@pytest.fixture(scope="module")
def built():
    c_library.build(kernel.SOURCE)
    loaded = kernel.load()
    assert loaded is not None
    return loaded


@pytest.mark.parametrize("channels", [3, 4])
def test_all_colours_are_counted_as_numpy_counts_them(built, channels):
    g, b_ = (plane.reshape(-1) for plane in np.meshgrid(RAMP, RAMP, indexing="ij"))
    red_pixels = 0
    for value in range(256):
        planes = [np.full_like(g, value), g, b_, np.roll(RAMP, value)[g ^ b_]][:channels]
        content = np.stack(planes, axis=-1).tobytes()

        counted = built.tally(content, len(g), channels)

        assert counted == tally_pixels(content, channels), value
        red_pixels += counted.red_pixels
    assert red_pixels == (1_105_518 if channels == 3 else red_pixels)


@pytest.mark.parametrize("size", [1, 2, 63, 4095, 4096, 4097, 12_289])
def test_any_number_of_pixels_is_counted_to_its_last(built, size):
    content = bytearray(b.noise((size, 1)).tobytes())

    assert built.tally(content, size, 3) == tally_pixels(content, 3)
    with pytest.raises(ValueError, match="fewer"):
        built.tally(content, size + 1, 3)


def test_without_a_kernel_the_numbers_are_the_same(monkeypatch):
    image = b.noise((700, 400))
    fast = count.count(image)
    monkeypatch.setattr(kernel, "load", lambda: None)

    assert count.count(image) == fast
    assert count.count_interleaved(image.tobytes(), 280_000, 3) == fast


def test_a_kernel_that_counts_otherwise_is_not_trusted(tmp_path, monkeypatch):
    wrong = kernel.SOURCE.read_text().replace("R >= 64", "R >= 65")
    source = tmp_path / "kernel.c"
    source.write_text(wrong)
    monkeypatch.setattr(kernel, "SOURCE", source)

    c_library.build(kernel.SOURCE)

    assert c_library.library(kernel.SOURCE).exists()
    assert kernel.load.__wrapped__() is None


def test_what_cannot_be_built_says_what_to_install(tmp_path):
    source = tmp_path / "kernel.c"
    source.write_text("no C at all")

    with pytest.raises(c_library.CannotBuild, match="install gcc"):
        c_library.build(source, [("cc",)])
    with pytest.raises(c_library.CannotBuild, match="no C compiler"):
        c_library.build(source, [])
    assert list(tmp_path.iterdir()) == [source]


def test_zig_is_a_compiler_too(tmp_path, monkeypatch):
    source = tmp_path / "kernel.c"
    source.write_text(kernel.SOURCE.read_text())
    monkeypatch.setattr(kernel, "SOURCE", source)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CC", raising=False)
    assert c_library.compilers() == [(sys.executable, "-m", "ziglang", "cc")]

    c_library.build(kernel.SOURCE)

    assert kernel.load.__wrapped__() is not None


def test_another_processor_or_source_needs_another_library(monkeypatch):
    here = c_library.library(kernel.SOURCE)
    monkeypatch.setattr(c_library, "_processor", lambda: b"another")

    assert c_library.library(kernel.SOURCE) != here


def test_the_command_says_which_kernel_counts():
    done = subprocess.run(
        [sys.executable, "-m", "red_service.redness.kernel"], capture_output=True, text=True
    )

    assert done.stdout == "red: counting with the C kernel\n"
    assert shutil.which("cc")
