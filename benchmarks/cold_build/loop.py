"""The limit: one process that imports everything once and does all actions of its share in a loop, unconfined.

``loop.py PLAN.json``: what :func:`limit.plan` wrote. Runs in the mgeconvert toolchain; prints the seconds it took.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

BEGAN = time.monotonic()
DRIVERS = {"expect": "expect", "measure": "measure"}


def main(plan: Path) -> None:
    """Do the plan's actions in order."""
    asked = json.loads(plan.read_text())
    sys.path[:0] = asked["code"]
    for name in asked["preload"]:
        importlib.import_module(name)
    import numpy

    from megbuild_worker import job as jobs
    from megbuild_worker import load

    workers: Dict[str, Any] = {}
    used: List[Tuple[str, str, float]] = []
    for action in asked["actions"]:
        folder = Path(action["folder"])
        for source, target in action["products"]:
            _link(Path(source), folder / target)
        os.chdir(folder)
        random.seed(0)
        numpy.random.seed(0)
        job = jobs.read(folder / "request.json")
        for paths in job.outputs.values():
            for path in paths:
                path.parent.mkdir(parents=True, exist_ok=True)
        if job.worker not in workers:
            workers[job.worker] = load.load(folder / job.worker)
        spent = time.process_time()
        importlib.import_module(f"megbuild_worker.{DRIVERS.get(job.function, 'make')}").do(workers[job.worker], job)
        _forget(folder / "in/source")
        used.append((Path(job.worker).parent.name, job.function, round(time.process_time() - spent, 4)))
    print(json.dumps({"seconds": time.monotonic() - BEGAN, "cpu": used}))


def _forget(code: Path) -> None:
    """The training code of an action: the next one has its own."""
    sys.path[:] = [place for place in sys.path if not place.startswith(str(code))]
    for name, module in list(sys.modules.items()):
        places = [getattr(module, "__file__", None) or "", *map(str, getattr(module, "__path__", ()))]
        if any(place.startswith(str(code)) for place in places):
            del sys.modules[name]


def _link(source: Path, target: Path) -> None:
    """Files are linked; nothing is copied or hashed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=os.link)
    else:
        os.link(source, target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
