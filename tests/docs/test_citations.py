"""What the repository says about itself can be looked up: every file, link and section named is there."""

import ast
import re
import shutil
import subprocess
import tokenize
from functools import cache
from io import StringIO
from pathlib import Path

import pytest

from red_common import failpoints
from red_stats import topics

ROOT = Path(__file__).resolve().parents[2]
ROOMS = "red_common|red_service|red_stats|tests|bench|docs|deploy"
ENDS = "py|c|md|sql|json|js|css|html|toml|ya?ml|txt|lock|properties|xml|java|csv|jpg|png|svg"
HASHES = (".toml", ".yml", ".yaml", ".example", ".properties")
NEVER = {".venv", "build", "dist", "data", "node_modules"}

FILE = re.compile(rf"(?<![\w./-])(?:{ROOMS})/[\w./*-]*\.(?:{ENDS})\b")
FOLDER = re.compile(rf"(?<![\w./-])(?:{ROOMS})/(?:[\w-]+/)*(?![\w.*{{<-])")
SHORT = re.compile(rf"(?<![\w./<-])[a-z_]+/[\w/]+\.(?:{ENDS})\b")  # of the package, or of the folder
DECISION = re.compile(r"docs/adr/\d{4}(?![\w-])")
SECTION = re.compile(r'docs/architecture\.md, "([^"]+)"')
PAPER = re.compile(r"\b(?:design(?:\.md\b| \d)|contract\.md\b|evidence/)", re.IGNORECASE)
WORTH_READING = re.compile(
    "|".join(one.pattern for one in (FILE, FOLDER, SHORT, DECISION)) + r"|(?i:design|contract|evidence)[ ./]"
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^( *)```.*?^\1``` *$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
C_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
HASH_COMMENT = re.compile(r"(?:^|\s)#[^\n]*")


def files_of(root):
    """Every file that is or could be committed; without git whatever lies there."""
    listed = ""
    if (root / ".git").exists() and shutil.which("git"):
        asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False).stdout
    if listed:
        found = [root / name for name in listed.split("\0") if name]
    else:
        hidden = re.compile(r"\.(?!github|ci|env)")
        found = [
            path for path in root.rglob("*")
            if not any(part in NEVER or hidden.match(part) for part in path.relative_to(root).parts)
        ]  # fmt: skip
    return [path for path in found if path.is_file()]


def prose_of(path):
    """What a file says to people: all of a Markdown file, else comments and docstrings, a line each."""
    kind, text = path.suffix, path.read_text()
    if not WORTH_READING.search(text):
        return ""
    if kind == ".md":
        return text
    if kind == ".py":
        said = [*docstrings(text), *comments(text)]
    elif kind in (".c", ".java"):
        said = C_COMMENT.findall(text)
    else:
        said = HASH_COMMENT.findall(text)
    return "\n".join(re.sub(r"[\s#*]*\n[\s#*]*", " ", one) for one in said)


def docstrings(text):
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, kinds):
            yield ast.get_docstring(node) or ""


def comments(text):
    """Those of lines that follow each other are one."""
    found = {
        token.start[0]: token.string
        for token in tokenize.generate_tokens(StringIO(text).readline)
        if token.type == tokenize.COMMENT
    }
    for line, comment in found.items():
        if line - 1 not in found:
            block = [comment]
            while line + len(block) in found:
                block.append(found[line + len(block)])
            yield "\n".join(block)


def is_read(path):
    return path.suffix in (".md", ".py", ".c", ".java", *HASHES) or path.name in ("Makefile", "Dockerfile")


@cache
def titles_of(page):
    return HEADING.findall(FENCE.sub("", page.read_text())) if page.exists() else []


def anchors_of(page):
    """As GitHub makes them of headings."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles_of(page)}


def broken_links(path):
    for target in LINK.findall(FENCE.sub("", path.read_text())):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        page = path.parent / name if name else path
        if not page.exists() or (anchor and page.suffix == ".md" and anchor not in anchors_of(page)):
            yield target


def broken(root, path):
    """Every citation of one file that leads nowhere."""
    text = prose_of(path)
    package = root / path.relative_to(root).parts[0]
    places = (root, package, root / "red_common", path.parent, path.parent.parent)
    for name in FILE.findall(text):
        if not any(root.glob(name)):
            yield name
    for name in (found.group() for found in FOLDER.finditer(text)):
        if not (root / name).is_dir():
            yield name
    for name in SHORT.findall(text) if path.suffix in (".py", ".c") else ():
        if not any((place / name).exists() for place in places):
            yield name
    for name in DECISION.findall(text):
        if not any(root.glob(f"{name}-*.md")):
            yield name
    for title in SECTION.findall(text):
        if title not in titles_of(root / "docs/architecture.md"):
            yield title
    yield from (found.group() for found in PAPER.finditer(text))
    if path.suffix == ".md":
        yield from broken_links(path)


def test_everything_that_is_cited_is_there():
    read = [path for path in files_of(ROOT) if is_read(path)]

    found = {str(path.relative_to(ROOT)): names for path in read if (names := [*broken(ROOT, path)])}

    assert len(read) > 300
    assert found == {}


def test_the_page_names_every_topic_and_failpoint():
    page = (ROOT / "docs/architecture.md").read_text()

    assert [name for name in (*topics.ALL, *failpoints.POINTS) if f"`{name}`" not in page] == []


@pytest.fixture
def said(tmp_path):
    """Puts a text into a small repository without git; what is broken in it."""
    for name in ("red_stats/agents/counting.py", "docs/adr/0001-a-log.md", "red_common/schemas/one.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "docs/architecture.md").write_text(
        "# A\n\n## Rooms\n\n## What it's for\n\n```\n## Not this\n```\n"
    )

    def said(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        assert path in files_of(tmp_path)
        assert is_read(path)
        return [*broken(tmp_path, path)]

    return said


@pytest.mark.parametrize(
    ("name", "text", "cited"),
    [
        ("README.md", "see `red_stats/agents/gone.py`", "red_stats/agents/gone.py"),
        ("docs/x.md", "see tests/gone/ too", "tests/gone/"),
        ("docs/x.md", "[it](../red_stats/gone.py)", "../red_stats/gone.py"),
        ("docs/x.md", "[it](architecture.md#gone)", "architecture.md#gone"),
        ("docs/x.md", "[it](architecture.md#not-this)", "architecture.md#not-this"),
        ("docs/x.md", "[it](#gone)", "#gone"),
        ("docs/adr/0002-b.md", "as docs/adr/0009 says", "docs/adr/0009"),
        ("red_stats/a.py", '"""Like red_stats/gone.py."""', "red_stats/gone.py"),
        ("red_stats/a.py", '"""Like `agents/gone.py`."""', "agents/gone.py"),
        ("red_stats/a.py", "x = 1  # agents/gone.py has it", "agents/gone.py"),
        ("red_stats/a.py", 'def f():\n    """See docs/architecture.md,\n    "Gone"."""', "Gone"),
        ("red_stats/a.py", '# docs/architecture.md,\n# "No such"', "No such"),
        ("red_stats/a.py", '"""Design 5, rule 1."""', "Design 5"),
        ("red_stats/a.py", "# (evidence/kafka.md 6)", "evidence/"),
        ("red_stats/a.c", "/* as agents/gone.py\n * says */", "agents/gone.py"),
        ("docs/x.md", "contract.md has it", "contract.md"),
        ("Makefile", "up:  # see deploy/gone.yaml", "deploy/gone.yaml"),
        ("deploy/compose.yaml", "# red_common/schemas/two.json", "red_common/schemas/two.json"),
    ],
)  # fmt: skip
def test_what_leads_nowhere_is_found(said, name, text, cited):
    assert cited in said(name, text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("README.md", "`red_stats/agents/counting.py`, red_stats/*/counting.py, docs/adr/, `docs/adr/0001`"),
        ("README.md", "[a](docs/architecture.md#rooms) [b](docs/architecture.md#what-its-for)"),
        ("README.md", "https://example.com/docs/gone.md [c](https://example.com/gone.md) [d](docs/adr/)"),
        ("README.md", "`data/keys.json` and answer.json are made by whoever runs it"),
        ("docs/x.md", "```\n[it](gone.md)\n```"),
        ("red_stats/a.py", '"""As docs/architecture.md,\n"Rooms", says."""'),
        ("red_stats/a.py", '"""`agents/counting.py`, `schemas/one.json`."""'),
        ("red_stats/a.py", 'open("red_stats/gone.py")'),
        ("red_stats/a.py", "x = 1  # by design, 5 at a time"),
    ],
)
def test_what_can_be_looked_up_is_left_alone(said, name, text):
    assert said(name, text) == []
