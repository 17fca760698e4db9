"""Builds that are killed or asked to end at chance moments; ``tests/faults/run`` does the same for as long as one likes."""

from __future__ import annotations

import fcntl
import signal

from tests.faults import moments
from tests.faults.toys import Toys

SEED = 20


def test_builds_that_are_hit_at_chance_moments(toys: Toys) -> None:
    space = toys.space()
    whole = moments.undisturbed(space)
    toys.drop(space)
    findings = moments.Findings()
    hits = moments.chosen(15, SEED, whole, (signal.SIGKILL,))
    hits += moments.chosen(6, SEED, whole, (signal.SIGTERM, signal.SIGINT))
    for moment in hits:
        space = toys.space()
        moments.disturb(space, moment, whole, findings)
        toys.drop(space)
    assert sum(findings.moments.values()) == 21
    assert findings.finished > 10, "hardly any build got anywhere before it was hit"
    assert findings.again > 10, "hardly any build was hit before its end"


def test_an_installation_that_is_killed_leaves_no_process(toys: Toys) -> None:
    """uv would go on writing into the folder that the next build removes. Here it waits for its cache, and would for ever."""
    space = toys.space(toolchains=False)
    uvs = space.cache / "uv"
    uvs.mkdir()
    with (uvs / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        space.environment["UV_CACHE_DIR"] = str(uvs)
        running = space.start()
        running.until("toolchain megengine: installing")
        moments.until(lambda: any("uv" in told for told in moments.of_workspace(space)), "uv was never seen")
        running.send(signal.SIGKILL)
        running.wait()
        moments.until(lambda: not list(moments.of_workspace(space)), "a process is left")
    del space.environment["UV_CACHE_DIR"]
    again = space.build()
    assert again.status == 0, again.text
    assert not [line for line in again.lines if "waiting" in line]
    assert not list(space.cache.glob("toolchains/*.partial"))
