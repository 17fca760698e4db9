"""Pickles that mean harm, one of each kind: each would make a file, to show that it ran.

``files(marker)`` gives them by name. They are written by hand: nothing here is run but what writes bytes.
"""

from __future__ import annotations

import pickle
import struct


def text(said: str) -> bytes:
    """A text as the instruction that pushes it."""
    raw = said.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def looked_up(module: str, name: str) -> bytes:
    """A name, the way of protocol 4."""
    return text(module) + text(name) + b"\x93"


def file(*parts: bytes) -> bytes:
    """A whole pickle."""
    return b"\x80\x04" + b"".join(parts) + b"."


def called(module: str, name: str, *arguments: bytes) -> bytes:
    """A call with up to three arguments."""
    return looked_up(module, name) + b"".join(arguments) + {1: b"\x85", 2: b"\x86", 3: b"\x87"}[len(arguments)] + b"R"


def instance(module: str, name: str, state: bytes) -> bytes:
    """An object of a class, with its attributes."""
    return looked_up(module, name) + b")\x81" + state + b"b"


def pair(module: str, name: str) -> bytes:
    """The two texts by which MegEngine looks a name up."""
    return text(module) + text(name) + b"\x86"


def attributes(**values: bytes) -> bytes:
    """A dict."""
    return b"}(" + b"".join(text(key) + value for key, value in values.items()) + b"u"


def files(marker: str) -> dict[str, bytes]:
    """Every kind, by name."""
    touch = f"touch {marker}"
    expression, calls = "megengine.traced_module.expr", "CallFunction"
    honest = pickle.dumps({"weight": 1.0}, 4)
    return {
        "os.system": file(called("posix", "system", text(touch))),
        "os.system of protocol 0": b"cposix\nsystem\n(S'" + touch.encode() + b"'\ntR.",
        "inst": b"(S'" + touch.encode() + b"'\niposix\nsystem\n.",
        "obj": file(b"(", looked_up("posix", "system"), text(touch), b"o"),
        "subprocess": file(called("subprocess", "getoutput", text(touch))),
        "eval": file(called("builtins", "eval", text(f"open({marker!r}, 'w')"))),
        "importlib": file(called("importlib", "import_module", text("antigravity"))),
        "pip": file(called("pip", "main", text("download"))),
        "open": file(called("io", "open", text(marker), text("w"))),
        "dotted name": file(called("megengine.serialization", "pickle.sys.modules.get", text("os"))),
        "dotted name in a list of names": file(looked_up("megengine.tensor", "Tensor.numpy.__globals__")),
        "inside of MegEngine": file(called("megengine.utils.network", "Network", text(marker))),
        "hub": file(called("megengine.hub", "load", text("somebody/repository"))),
        "numpy": file(called("numpy.testing._private.utils", "runstring", text(f"open({marker!r}, 'w')"), b"}")),
        "getattr": file(called("builtins", "getattr", looked_up("megengine.tensor", "Tensor"), text("__init__"))),
        "string pair of a function": file(instance(expression, calls, attributes(func=pair("os", "system")))),
        "string pair with dots": file(
            instance(expression, calls, attributes(func=pair("megengine.functional.elemwise", "np.os.system")))
        ),
        "string pair of a module": file(
            instance("megengine.traced_module.node", "ModuleNode", attributes(module_type=pair("antigravity", "x")))
        ),
        "string pair of a state": file(
            instance(
                "megengine.traced_module.expr", "Constant", attributes(value=b"N", module=pair("antigravity", "x"))
            )
        ),
        "string pair in a tuple from a mark": file(
            instance(expression, calls, attributes(func=b"(" + text("os") + text("system") + b"t"))
        ),
        "second pickle": honest + file(called("posix", "system", text(touch))),
        "trailing bytes": honest + b"x",
        "extension": file(b"\x82\x01"),
        "persistent": file(text("x"), b"Q"),
        "computed name": file(text("os") + b"]" + b"\x93"),
        "name through the memo": file(
            text("system") + b"\x94" + b"0" + text("posix") + b"h\x00\x93" + text(touch) + b"\x85R"
        ),
        "class of its own": file(
            called("builtins", "type", text("Own"), b")", attributes(__del__=looked_up("megengine.tensor", "Tensor")))
        ),
        "changed class": file(looked_up("megengine.tensor", "Tensor") + b"N" + attributes(__add__=b"N") + b"\x86b"),
        "cut off": honest[:-3],
        "no pickle": b"PK\x03\x04" + bytes(100),
        "empty": b"",
        "memo beyond reason": file(b"N" + b"r\xff\xff\xff\x7f"),
        "length beyond reason": file(b"\x8d" + struct.pack("<Q", 1 << 62) + b"x"),
    }


def computed_pair() -> bytes:
    """The pair of texts as a call of ``tuple``, which only loading can see through."""
    made = called("builtins", "tuple", b"](" + text("os") + text("system") + b"e")
    return file(instance("megengine.traced_module.expr", "CallFunction", attributes(func=made)))
