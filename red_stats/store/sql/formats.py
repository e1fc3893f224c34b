"""The output formats that can be asked for, with their content types: text, Parquet and Native."""

from typing import Final

_TSV, _CSV, _JSON = "text/tab-separated-values; charset=UTF-8", "text/csv; charset=UTF-8", "application/json"
_LINES, _TEXT = "application/x-ndjson; charset=UTF-8", "text/plain; charset=UTF-8"

FORMATS: Final = {
    **{
        f"{name}{suffix}": _TSV
        for name in ("TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw")
        for suffix in ("", "WithNames", "WithNamesAndTypes")
    },
    **{f"CSV{suffix}": _CSV for suffix in ("", "WithNames", "WithNamesAndTypes")},
    **{f"JSON{suffix}": _JSON for suffix in ("", "Strings", "Columns", "Compact", "CompactStrings")},
    **{f"JSON{suffix}": _JSON for suffix in ("CompactColumns", "ColumnsWithMetadata", "ObjectEachRow")},
    **{
        f"JSON{name}EachRow{suffix}": _LINES
        for name in ("Compact", "CompactStrings")
        for suffix in ("", "WithNames", "WithNamesAndTypes")
    },
    "JSONEachRow": _LINES,
    "JSONStringsEachRow": _LINES,
    "JSONLines": _LINES,
    "NDJSON": _LINES,
    "Pretty": _TEXT,
    "PrettyCompact": _TEXT,
    "PrettyCompactMonoBlock": _TEXT,
    "PrettyNoEscapes": _TEXT,
    "PrettySpace": _TEXT,
    "Vertical": _TEXT,
    "Markdown": "text/markdown; charset=UTF-8",
    "XML": "application/xml; charset=UTF-8",
    "Values": _TEXT,
    "SQLInsert": _TEXT,
    "Parquet": "application/octet-stream",
    "Native": "application/octet-stream",
    "RowBinary": "application/octet-stream",  # what drivers of other languages read
    "RowBinaryWithNames": "application/octet-stream",
    "RowBinaryWithNamesAndTypes": "application/octet-stream",
}
_BY_LOWER: Final = {name.lower(): name for name in FORMATS}


def format_named(name: str) -> str | None:
    """The format of that name, in whatever case; None if it cannot be asked for."""
    return _BY_LOWER.get(name.lower())
