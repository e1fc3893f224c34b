"""The limit of open files, in processes of their own."""

import subprocess
import sys

import pytest

from red_common.open_files import connections_within

RAISED = (
    "import resource as r; hard = r.getrlimit(r.RLIMIT_NOFILE)[1];"
    "r.setrlimit(r.RLIMIT_NOFILE, (256, hard));"
    "from red_common import open_files as o; assert o.soft_limit() == 256; o.raise_limit();"
    "assert o.soft_limit() == o.hard_limit() == hard > 256"
)


def test_the_soft_limit_is_raised_to_the_hard_one():
    assert subprocess.run([sys.executable, "-c", RAISED], check=False).returncode == 0


@pytest.mark.parametrize(("files", "connections"), [(1024, 256), (1 << 20, 1000), (2, 1)])
def test_connections_leave_three_quarters_of_the_files_to_everything_else(files, connections):
    assert connections_within(files) == connections
