"""Where libraries of our C sources are, and which one is taken."""

import os
import shutil

import pytest

from red_common import c_library

SOURCE = "int answer(void) { return 42; }\n"


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "package"
    folder.mkdir()
    path = folder / "answer.c"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def environ(tmp_path):
    return {"HOME": str(tmp_path / "home")}


needs_a_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler here")


@needs_a_compiler
def test_a_portable_library_is_taken_on_any_processor_until_there_is_one_for_it(source, environ, monkeypatch):
    portable = c_library.build(source, portable=True, environ=environ)
    monkeypatch.setattr(c_library, "_processor", lambda: b"another")

    assert c_library.library(source, environ) == portable
    assert "portable" in portable.name


@needs_a_compiler
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_where_the_package_cannot_be_written_the_library_is_in_the_cache(source, environ, tmp_path):
    source.parent.chmod(0o500)
    made = c_library.build(source, environ=environ)

    assert made.is_relative_to(tmp_path / "home")
    assert c_library.library(source, environ) == made


@needs_a_compiler
def test_a_library_in_the_cache_is_found(source, environ, tmp_path, monkeypatch):
    monkeypatch.setattr(c_library.os, "access", lambda path, mode: False)
    made = c_library.build(source, environ=environ)

    assert made.parent == tmp_path / "home" / ".cache" / "red-stats" / "lib"
    assert c_library.library(source, environ) == made


def test_an_edited_source_has_another_library(source, environ):
    before = c_library.library(source, environ)
    source.write_text(SOURCE + "/* edited */")

    assert c_library.library(source, environ) != before
