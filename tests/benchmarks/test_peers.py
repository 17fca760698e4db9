"""What the speed benchmarks give to other build tools, and how they count what a tool's server does."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from speed import bazel, graph, measure

    yield SimpleNamespace(bazel=bazel, graph=graph, measure=measure)


def test_bazel_gets_every_action_once(speed: SimpleNamespace, tmp_path: Path) -> None:
    speed.graph.lay_out(tmp_path / "w", 3, per_package=100)
    speed.bazel.write(tmp_path / "w", speed.graph.models(3))
    text = (tmp_path / "w/team0000/BUILD").read_text()
    names = re.findall(r'genrule\(name = "(\w+)"', text)
    assert len(names) == len(set(names)) == 3 * speed.graph.ACTIONS
    assert text.count("//:common.txt") == 3
    assert "common.txt" in (tmp_path / "w/BUILD").read_text()


def test_what_a_server_uses_is_counted(speed: SimpleNamespace, tmp_path: Path) -> None:
    """A process that works while a file is there, and the command that waits for it."""
    busy = "import sys, pathlib\nwhile not pathlib.Path(sys.argv[1]).exists(): sum(range(10000))\nsys.stdin.read()"
    server = subprocess.Popen([sys.executable, "-c", busy, tmp_path / "enough"], stdin=subprocess.PIPE)
    try:
        waits = f"sleep 0.5; touch {tmp_path}/enough"
        with_server, alone = speed.measure.Runs(), speed.measure.Runs()
        speed.measure.once(speed.measure.Command(("sh", "-c", waits), tmp_path, server=server.pid), with_server)
        speed.measure.once(speed.measure.Command(("sh", "-c", "true"), tmp_path), alone)
    finally:
        server.communicate()
    assert with_server.cpu[0] > alone.cpu[0] + 0.05
