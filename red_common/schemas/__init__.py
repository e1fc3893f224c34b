"""Schema files shipped in the package: OpenAPI of both services, JSON Schema of every topic."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent
OPENAPI: Final = ROOT / "openapi"
EVENTS: Final = ROOT / "events"
