"""embed: an NPU's blob -> .mge with the blob in it, for programs that load every network through MegEngine

Taken where an output says ``embed = "mge"``. The .mge holds one external operator (``extern_opr_subgraph``) with the declared inputs and results, and the blob as it is.
A program loads it after ``LITE_set_loader_lib_path``, with the library of the device that registers a loader under the name ``loader``.

The operators that MegEngine has for one vendor each (AtlasRuntime, MagicMindRuntime, CambriconRuntime, TensorRTRuntime) cannot be made on a build machine: MegEngine's
wheel makes AtlasRuntime only where a board is, TensorRTRuntime only with CUDA, and has the other two left out.

The file is read back by MegEngine with a loader of megbuild's own, which must be handed the very bytes of the blob. What the blob computes is NOT RUN.
"""

from megbuild.rule import Option, Rule

RULE = Rule(
    consumes=("om", "magicmind"),
    produces="mge",
    files=(".mge",),
    toolchain="megengine",
    options={
        "batch": Option(1, range=(1, 1024), help="How many samples the artifact takes at once."),
        "loader": Option(
            "", help="The name under which the device's library registers its loader; the format's when empty."
        ),
    },
    embeds=True,
)
