"""What the reference answers to a model's samples: everything else is compared with it."""

from __future__ import annotations

from collections.abc import Sequence

from megbuild.declare.models import InstalledRule, Model, Toolchain
from megbuild.errors import MegbuildError, fail
from megbuild.graph import conversion
from megbuild.graph.actions import Product
from megbuild.graph.draft import (
    ARTIFACT,
    GOLDEN,
    REFERENCE,
    Draft,
    artifact_files,
    globbed,
    toolchain_of,
    worker_action,
)
from megbuild.graph.resolve import side_road, start_of


def reference_answer(draft: Draft, model: Model, trail: Sequence[str], environment: Toolchain | None) -> str:
    """The action that runs the reference on the samples; a road that does not pass through it gets one of its own.

    The reference is the .tm of training code, and for a delivered file that file itself.
    """
    form = REFERENCE if start_of(model) == "source" else start_of(model)
    made = next((action for action in trail if _of(draft, model, action, form)), "")
    if not made:
        made = conversion.begin(draft, model)
        for side in side_road(draft.workspace.rules, start_of(model), form) or ():
            made = conversion.convert(draft, model, side, made, environment)
    runner = runner_of(draft, form)
    if runner is None or not made:
        raise _nothing_to_compare_with(model)
    samples = globbed(draft, model.samples, "in/samples")
    return worker_action(
        draft,
        id=f"{model.label}#expected",
        step="expected",
        summary=f"run the .{form} of {model.label} on its samples",
        model=model,
        toolchain=toolchain_of(draft, runner, runner.rule.run_toolchain or runner.rule.toolchain),
        rule=runner,
        function="expect",
        request_inputs={
            "artifact": artifact_files(draft, made, "in/artifact"),
            "samples": [leaf.path for leaf in samples],
        },
        request_outputs={"results": ["out/results"], GOLDEN: [f"out/{GOLDEN}"]},
        inputs=[Product("in/artifact", made, ARTIFACT), *samples],
        outputs=("results", GOLDEN),
    )


def _of(draft: Draft, model: Model, action: str, form: str) -> bool:
    return draft.actions[action].makes == form and draft.actions[action].model == model.label


def runner_of(draft: Draft, form: str, maker: InstalledRule | None = None) -> InstalledRule | None:
    """The rule whose worker runs artifacts of a format: the one that made it if it can, else any other that makes it."""
    makers = [rule for rule in draft.workspace.rules if rule.rule.produces == form and rule.rule.runs_on]
    return maker if maker in makers else next(iter(makers), None)


def _nothing_to_compare_with(model: Model) -> MegbuildError:
    message = f"{model.label}: no rules make and run a .{REFERENCE} from its {start_of(model)}, so nothing can be compared with it"
    return fail("MB215", message, "install the rule that is missing", model.where)
