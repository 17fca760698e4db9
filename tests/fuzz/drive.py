"""Runs one target under atheris, in the fuzzer's own environment: ``drive.py TARGET CORPUS FINDINGS [libFuzzer's options]``.

An exception that is not megbuild's own ends it, with the case in the folder of findings; so do a case of more than ten
seconds of the processor, and one of two minutes or 2 GB of memory, which libFuzzer looks after: on a busy machine a case may have to wait.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
with atheris.instrument_imports(include=["megbuild"]):
    from tests.fuzz import targets
    from tests.fuzz.mutate import mutated

SECONDS = 10.0


def main(name: str, corpus: str, findings: str, options: list[str]) -> None:
    """Does not return."""
    target = targets.TARGETS[name]
    os.fsync = os.fdatasync = lambda descriptor: None  # type: ignore[assignment]  # no power fails, and it takes most of the time
    folder = Path(tempfile.mkdtemp(prefix=f"megbuild-fuzz-{name}-"))
    seeds, words = list(target.seeds()), list(target.words()) or [b"0"]
    for number, seed in enumerate(seeds):
        Path(corpus, f"seed-{number}").write_bytes(seed)

    def mutate(data: bytes, size: int, seed: int) -> bytes:
        chance = random.Random(seed)
        changed = mutated(data, words, chance, seeds) if chance.random() < 0.7 else atheris.Mutate(data, len(data) + 8)
        return bytes(changed[:size])

    def one(data: bytes) -> None:
        begun = time.process_time()
        targets.check(target, data, folder)
        assert time.process_time() - begun < SECONDS, "it takes too long"

    arguments = ["-max_len=20000", "-len_control=0", "-timeout=120", "-rss_limit_mb=2048", "-print_final_stats=1"]
    atheris.Setup(
        [sys.argv[0], *arguments, f"-artifact_prefix={findings}/", *options, corpus], one, custom_mutator=mutate
    )
    try:
        atheris.Fuzz()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:4], sys.argv[4:])
