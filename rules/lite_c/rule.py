"""lite_c: .mge -> what a C or C++ program takes: the network, a header, an example with its build file, golden data

The files are ``.mge``; ``.h`` with names, types, shapes and sizes of inputs and results; ``.c``, an example that runs one or many
samples; ``.mk``, a makefile (``make -f net.mk check LITE=folder``); ``.input`` and ``.expected``, one sample and what Lite Python computes of it, raw and in the order of
the header.

The check compiles that example with a pinned compiler, links it with the Lite library of the toolchain, asks it for the golden
results bit by bit, and then for all samples. The library of a device has the same functions.
"""

from megbuild.rule import Option, Rule

RULE = Rule(
    consumes="mge",
    produces="lite_c",
    files=(".mge", ".h", ".c", ".mk", ".input", ".expected"),
    toolchain="lite_c",
    options={
        "layout": Option(
            "default",
            choices=("default", "nchw88", "nchw4", "nchw32", "chwn4"),
            help="As for .mge, of those that this machine can compute the golden results of.",
        ),
    },
    runs_on=("Lite C",),
)
