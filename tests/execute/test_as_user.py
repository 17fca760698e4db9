"""Everything that training code which means harm could try, in boxes that an ordinary user made."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from . import as_user

FILES = ("test_box.py", "test_hostile.py", "test_stopped.py", "test_degraded.py")
OF_ROOT = ("test_a_folder_goes_whatever_rights_were_taken",)
"""What becomes somebody else by itself."""


def test_the_box_holds_as_well_when_an_ordinary_user_made_it() -> None:
    """Where the tests run as one already, all of them show it."""
    if os.getuid():
        return
    place = Path(tempfile.mkdtemp(prefix="megbuild-user-", dir="/tmp"))
    try:
        place.chmod(0o755)
        files = [str(Path(__file__).with_name(name)) for name in FILES]
        done = as_user.run([*files, "-k", " and ".join(f"not {name}" for name in OF_ROOT)], place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.search(r"^(\d+) passed, (\d+) deselected", done.stdout.splitlines()[-1])
    assert said, done.stdout
    assert int(said[1]) > 300 and int(said[2]) == len(OF_ROOT), done.stdout.splitlines()[-1]
