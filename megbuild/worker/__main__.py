"""Runs the action that ``request.json`` describes, in the staged folder that it stands in.

Exit status 0: done. 3: refused; the reason is the first line of ``out/refusal.txt``, and each further line an operation of
the network, a tab, and what is wrong with it. Anything else is a crash of
the tool or of the user's code, with its traceback on stderr.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import traceback
from pathlib import Path
from types import TracebackType

REFUSED = 3
PR_SET_PDEATHSIG = 1
"""Linux's number of the request."""


def main(request: str) -> int:
    """Runs one request and returns the exit status."""
    from megbuild_worker import job as jobs
    from megbuild_worker import ready

    job = jobs.read(Path(request))
    try:
        for paths in job.outputs.values():
            for path in paths:
                path.parent.mkdir(parents=True, exist_ok=True)
        driver, rule = ready.ready(str(job.folder), job.worker, job.function)
        driver.do(rule, job)
    except jobs.Refusal as refusal:
        lines = [_plain(refusal.message), *(f"{place}\t{_plain(text)}" for place, text in refusal.troubles)]
        (job.folder / "out" / "refusal.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"refused: {_plain(str(refusal))}", file=sys.stderr)
        return REFUSED
    except Exception as error:
        code = job.folder / "in" / "source"
        traceback.print_exception(type(error), error, _from_user_code(error.__traceback__, code))
        return 1
    return 0


def _plain(text: str) -> str:
    """One line. A tool's own words may hold an address, which differs every time."""
    return re.sub(r" at 0x[0-9a-f]+", "", " ".join(text.split()))


def _end_with_the_build() -> None:
    """Asks the kernel to end this process when the build that started it dies: it would write into the next one's."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _from_user_code(trace: TracebackType | None, folder: Path) -> TracebackType | None:
    """The traceback from its first frame in ``folder`` on: a user's error is shown without megbuild's own frames."""
    prefix = str(folder) + os.sep
    frame = trace
    while frame is not None and not frame.tb_frame.f_code.co_filename.startswith(prefix):
        frame = frame.tb_next
    return frame or trace


if __name__ == "__main__":
    _end_with_the_build()
    # Python put this folder first: its module names would hide those of the user's code.
    sys.path[0] = str(Path(__file__).absolute().parent.parent)
    import megbuild_worker  # noqa: F401  # found through the folder that the next line drops

    del sys.path[0]
    sys.exit(main(sys.argv[1]))
