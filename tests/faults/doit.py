"""``./doit`` with other rules in the place of megbuild's own; the first argument is their folder."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from megbuild.cli.__main__ import main
from megbuild.declare import rules

folder = Path(sys.argv.pop(1))
rules.builtin_rules_folder = lambda: folder

if __name__ == "__main__":
    sys.exit(main())
