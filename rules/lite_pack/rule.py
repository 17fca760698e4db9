"""lite_pack: .mge -> Lite's packed model: the network with what Lite is to know of it, plain or encrypted

Taken where an output says ``embed = "lite_pack"``. The file holds the network and a description (name, version, device, inputs and results) under the
keys that Lite's parser reads; they are not those of its README. With ``encrypt``, the name of a key, both are encrypted by AES-256-CBC, which
Lite calls AES_default: a program gives it the key by LITE_update_decryption_or_key before it loads the file.

The check loads the packed file with Lite Python, and asks it for the bits that it gives for the .mge itself.
"""

from megbuild.rule import Option, Rule

LAYOUTS = ("default", "nchw88", "nchw44", "nchw44_dot", "nchw4", "nchw32", "nchw64", "chwn4", "hwcd4")

RULE = Rule(
    consumes="mge",
    produces="lite_pack",
    files=(".lite",),
    toolchain="lite_pack",
    options={
        "layout": Option("default", choices=LAYOUTS, help="As for .mge."),
        "device": Option("CPU", choices=("CPU", "CUDA", "NPU"), help="What Lite is to run the network on."),
        "encrypt": Option(
            "", help="The key: a file with 64 hexadecimal digits, or env:VARIABLE. Empty: not encrypted."
        ),
    },
    runs_on=("Lite Python",),
    # Its `run` compares with the .mge that was packed.
    runs_from_inputs=True,
    embeds=True,
    secrets=("encrypt",),
)
