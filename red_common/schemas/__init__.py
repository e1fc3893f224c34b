"""Schemas as files, part of the package: OpenAPI, JSON Schema of every topic, ClickHouse's tables."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent
OPENAPI: Final = ROOT / "openapi"
EVENTS: Final = ROOT / "events"
