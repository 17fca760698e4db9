"""Everything that training code which means harm could try, in boxes that an ordinary user made."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from . import as_user

FILES = ("test_box.py", "test_hostile.py", "test_stopped.py", "test_degraded.py")
LEFT_OUT = ("test_a_folder_goes_whatever_rights_were_taken", "zygote_that_hangs", "long_action")
"""What becomes somebody else by itself; what only takes long."""


def test_the_box_holds_as_well_when_an_ordinary_user_made_it() -> None:
    """Where the tests run as one already, all of them show it."""
    if os.getuid():
        return
    place = Path(tempfile.mkdtemp(prefix="megbuild-user-", dir="/tmp"))
    try:
        place.chmod(0o755)
        files = [str(Path(__file__).with_name(name)) for name in FILES]
        done = as_user.run([*files, "-k", " and ".join(f"not {name}" for name in LEFT_OUT)], place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.search(r"^(\d+) passed, \d+ deselected in", done.stdout.splitlines()[-1])
    assert said and int(said[1]) > 300, done.stdout
