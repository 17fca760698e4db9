"""traced_module: training code -> MegEngine .tm

Two steps. ``train`` runs the model's training function once and keeps the weights; ``build`` calls the function that
makes the network, with the weights if there are any, and traces it. Every other format is made from the .tm and
measured against it.
"""

from megbuild.rule import Rule

RULES = (
    Rule(
        consumes="training",
        produces="weights",
        files=(".weights",),
        toolchain="megengine",
        worker="train.py",
        function="train",
    ),
    Rule(
        consumes="source",
        produces="tm",
        files=(".tm",),
        toolchain="megengine",
        # Made only for a model that declares `train`.
        needs=lambda options: ("weights",),
        notes=("operations.json",),
        runs_on=("MegEngine",),
    ),
)
