"""vela: int8 .tflite -> .tflite for Arm Ethos-U

Compiles a network trained for quantisation (``quantize_qat``) for one Ethos-U configuration with Arm's Vela. What the
NPU takes becomes one or several custom operators ``ethos-u``; what it does not take stays as it was, for the CPU beside it. Vela succeeds on a network that
stays on the CPU altogether, a float one for instance: here that is refused, and so is more than the budget of ``cpu_operators``.

The conversions between float inputs and results and int8 always run on the CPU and are not counted. Nothing here runs
an ``ethos-u`` operator: an output is "not run", and its inputs, results and operators are read back and checked.
"""

from megbuild.rule import Option, Rule

TARGETS = (
    "ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256", "ethos-u65-256", "ethos-u65-512",
    "ethos-u85-128", "ethos-u85-256", "ethos-u85-512", "ethos-u85-1024", "ethos-u85-2048",
)  # fmt: skip

RULE = Rule(
    consumes="tflite",
    produces="vela",
    files=(".tflite",),
    toolchain="vela",
    options={
        "target": Option("ethos-u55-128", choices=TARGETS, help="The NPU's configuration; a hardware preset sets it."),
        "system_config": Option("", help="A system of Vela's configuration file; left out, Vela's own for the NPU."),
        "memory_mode": Option(
            "", help="A memory mode of that file, such as Sram_Only; left out, Vela's own for the NPU."
        ),
        "optimise": Option("performance", choices=("performance", "size"), help="For speed, or for the least memory."),
        "cpu_operators": Option(0, range=(0, 10000), help="How many operators may stay on the CPU."),
    },
    requires={"tflite": {"exact": False, "between": "int8", "batch": 1}},
)
