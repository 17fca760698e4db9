"""The process in which ``doit check`` runs actions again, each from the inputs that it had before."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from megbuild.graph.actions import Outputs


def main(spec: Path, answer: Path) -> int:
    """Do what the file says in the workspace that this process stands in."""
    from megbuild.store.digests import Digest

    said = json.loads(spec.read_text())
    baseline = {
        id: {path: Digest(*entry) for path, entry in outputs.items()} for id, outputs in said["baseline"].items()
    }
    made = again(
        Path.cwd(),
        said["labels"],
        baseline,
        said["again"],
        said["inside"],
        said["jobs"],
        said["through"],
        said["shown"],
    )
    shown = {
        id: outputs if isinstance(outputs, str) else {path: [d.sha256, d.size] for path, d in outputs.items()}
        for id, outputs in made.items()
    }
    answer.write_text(json.dumps(shown))
    return 0


def again(
    start: Path,
    labels: Sequence[str],
    baseline: Mapping[str, Outputs],
    ids: Sequence[str],
    inside: Mapping[str, str],
    jobs: int,
    through: Sequence[str] = (),
    shown: Sequence[str] = (),
) -> dict[str, Outputs | str]:
    """What each of these actions makes now, or why it fails. Nothing of it is recorded.

    Each takes its inputs from the baseline, so an action that differs does not make those after it differ.
    """
    from megbuild.errors import MegbuildError
    from megbuild.execute.failure import ActionFailed
    from megbuild.graph.fingerprint import fingerprint
    from megbuild.pipeline import Asked, prepare
    from megbuild.pipeline.execution import runner
    from megbuild.store.content import Missing

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    prepared = prepare(Asked(tuple(labels), start, variables=dict(inside)), say)
    graph = prepared.graph
    run = runner(
        prepared, [graph.actions[id] for id in ids if id in graph.actions and graph.actions[id].toolchain], say
    )
    run.through, run.shown = through, shown

    def one(id: str) -> Outputs | str:
        if id not in graph.actions:
            return "the copy of the workspace has no such action"
        action = graph.actions[id]
        try:
            return run.run(action, fingerprint(action, graph.toolchains.get(action.toolchain), baseline)).outputs
        except (ActionFailed, MegbuildError, Missing) as error:
            return str(error)

    try:
        with ThreadPoolExecutor(jobs) as pool:
            return dict(zip(ids, pool.map(one, ids), strict=True))
    finally:
        run.stop()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
