"""Prints ``pickle_names.txt``: every name that a .tm may hold, taken from the MegEngine that is installed.

Run it with the toolchain's Python when MegEngine's version changes, and review the difference.
"""

import importlib
import inspect
import pkgutil

import megengine.functional
import megengine.module
import megengine.quantization
import megengine.random
from megengine.core._imperative_rt import OpDef, ops
from megengine.module import Module
from megengine.traced_module import serialization

HEAD = """\
# What a .tm may hold: made by list_names.py from MegEngine {version}, by exact name, and nothing else.
# "type" is looked up by the pickle itself, "call" is named in it by a pair of texts that MegEngine looks up later.
"""

WITHOUT = (
    "megengine.functional.debug_param",  # settings of the process
    "megengine.functional.distributed",  # other machines
    "megengine.functional.external",  # programs of vendors, held as bytes
    "megengine.functional.utils",
    "megengine.module.external",
    "megengine.module.init",
    "megengine.quantization.quantize",
)
"""Modules whose functions and classes are no part of a network that megbuild converts."""
PROGRAMS = {"AtlasRuntime", "CambriconRuntime", "ExternOpr", "MagicMindRuntime", "TensorRTRuntime"}
ELSEWHERE = {"CollectiveComm", "RemoteRecv", "RemoteSend", "PyOpBase", "OpDef", "GroupLocal", "Barrier"}
"""Operators that hold a vendor's program, and those that reach other machines or are no operators by themselves."""

PYTHON = ["Ellipsis", "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list"]
PYTHON += ["set", "slice", "str", "tuple", "type"]
TYPES = [
    *(f"builtins.{name}" for name in PYTHON),
    "collections.OrderedDict",
    "collections.defaultdict",
    "inspect.FullArgSpec",
    "numpy.dtype",
    "numpy.ndarray",
    *(
        f"numpy.{name}"
        for name in ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "bool_")
    ),
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "megengine.tensor.Tensor",
    "megengine.tensor.Parameter",
    "megengine.core._imperative_rt.common.CompNode",
    "megengine.core._wrap.Device",
    "megengine.core.tensor.dtype.QuantDtypeMeta",
    "megengine.core.tensor.dtype.QuantDtype",
    *(
        f"megengine.traced_module.expr.{name}"
        for name in ("Apply", "CallFunction", "CallMethod", "Constant", "GetAttr", "Input")
    ),
    *(f"megengine.traced_module.node.{name}" for name in ("ModuleNode", "NodeMixin", "TensorNode")),
    *(f"megengine.traced_module.pytree.{name}" for name in ("ArgsIndex", "LeafDef", "TreeDef")),
    "megengine.traced_module.serialization._ModuleState",
    *(f"megengine.traced_module.traced_module.{name}" for name in ("InternalGraph", "NameSpace", "TracedModule")),
]
"""What traced modules, tensors and arrays are written with."""


def modules(package):
    """The modules of a package that are not left out."""
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if found.name not in WITHOUT:
            yield importlib.import_module(found.name)


def own(module, kind):
    """The public names that a module defines itself."""
    for name, value in vars(module).items():
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__ and kind(value):
            yield f"{module.__name__}.{name}", value


def main():
    """Print the list."""
    types, called = set(TYPES), set()
    for module in modules(megengine.functional):
        called.update(name for name, value in own(module, callable) if not inspect.isclass(value))
    called.update(f"megengine.random.rng.{name}" for name in ("uniform", "normal"))
    for package in (megengine.module, megengine.quantization):
        for module in modules(package):
            classes = dict(own(module, inspect.isclass))
            types.update(classes)
            called.update(name for name, value in classes.items() if issubclass(value, Module))
    called.update(
        f"{module}.{name}" for module, name in (*serialization.FUNCTIONAL_LOADER, *serialization.MODULE_LOADER)
    )
    called.add("megengine.traced_module.traced_module.TracedModule")
    for name, value in vars(ops).items():
        if inspect.isclass(value) and issubclass(value, OpDef) and name not in PROGRAMS | ELSEWHERE:
            types.add(f"{ops.__name__}.{name}")
    print(HEAD.format(version=megengine.__version__))
    print("\n".join([*(f"type {name}" for name in sorted(types)), *(f"call {name}" for name in sorted(called))]))


if __name__ == "__main__":
    main()
