"""What a part of a form is called, however its client writes that: a name is only ever repeated to it."""

import re
from typing import Final

from aiohttp import BodyPartReader

MAX_NAME: Final = 255

_QUOTED: Final = re.compile(r';\s*filename\s*=\s*"(.*?)(?<!\\)"\s*(?:;|$)', re.IGNORECASE | re.DOTALL)
_ESCAPED: Final = re.compile(r'\\(["\\])')  # any other backslash is one of a Windows path
_CONTROL: Final = re.compile(r"[\0-\x1f\x7f]")
_HEADER_CONTROLS: Final = bytes(
    ord("?") if (byte < 32 and byte not in b"\t\r\n") or byte == 127 else byte for byte in range(256)
)


def header_line(line: bytes) -> bytes:
    """A line of a part's headers that can be read: control characters in it become `?`."""
    return line.translate(_HEADER_CONTROLS)


def is_file(part: BodyPartReader) -> bool:
    """Whether the part says that it is a file."""
    return "filename" in _disposition(part).lower()


def may_be_text(part: BodyPartReader) -> bool:
    """Whether the part says nothing about its content, or that it is text: a form's plain field."""
    return not is_file(part) and part.headers.get("Content-Type", "text/plain").lower().startswith("text/")


def is_text(content: bytes) -> bool:
    """Whether the bytes are text, as those of no image are."""
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def name_of(part: BodyPartReader) -> str | None:
    """The file's name, cut to MAX_NAME characters; control characters and half surrogate pairs become `?`."""
    quoted = _QUOTED.search(_disposition(part))
    extended = "filename*" in _disposition(part).lower()
    given = part.filename if extended or quoted is None else _ESCAPED.sub(r"\1", quoted[1])
    if given is None:
        return None
    return _CONTROL.sub("?", given[:MAX_NAME]).encode("utf-8", "replace").decode()


def _disposition(part: BodyPartReader) -> str:
    return str(part.headers.get("Content-Disposition", ""))
