"""The checkout whose megbuild is measured, and its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv/bin/python"


def enter() -> None:
    """Go on in the checkout's environment, made first where there is none: peers and the first build need what is in it."""
    if Path(sys.prefix) != ROOT / ".venv":
        if not PYTHON.exists():
            subprocess.run([ROOT / "doit", "help"], check=True, stdout=subprocess.DEVNULL)
        os.execv(PYTHON, [str(PYTHON), *sys.argv])
