"""lite_c: .mge -> what a C or C++ program takes: the network, a header, an example with its build file, golden data

The files are ``.mge``; ``.h`` with names, types, shapes and sizes of inputs and results; ``.c``, an example that runs one or many
samples; ``.mk``, a makefile (``make -f net.mk check LITE=folder``); ``.input`` and ``.expected``, one sample and what Lite Python computes of it, raw and in the order of
the header.

For layouts that this machine has no kernels for (ARM, OpenCL, int4) the golden data is the first sample, with what the .tm gives for it, and ``make check`` on
the device compares within a tolerance. The example is compiled for 64-bit ARM here, and inputs and results of the network are read back; the output is "not run".

For the others the check compiles that example with a pinned compiler, links it with the Lite library of the toolchain, asks it for the golden
results bit by bit, and then for all samples. The library of a device has the same functions.
"""

from megbuild.rule import Option, Rule

HERE = ("default", "nchw88", "nchw4", "nchw32", "chwn4")
"""Layouts that this machine can compute golden results of."""

RULE = Rule(
    consumes="mge",
    produces="lite_c",
    files=(".mge", ".h", ".c", ".mk", ".input", ".expected"),
    toolchain="lite_c",
    options={
        "layout": Option(
            "default",
            choices=(*HERE, "nchw44", "nchw44_dot", "nchw64", "hwcd4"),
            help="As for .mge.",
        ),
    },
    needs=lambda options: () if options.layout in HERE else ("golden",),
    runs_on=("Lite C",),
)
