"""What decides an action's result, twice: as the key, and as named components that a reason can compare."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from megbuild.declare.models import Toolchain
from megbuild.graph.actions import Action, Leaf, Outputs, Product
from megbuild.graph.keys import action_key
from megbuild.graph.reasons import SEEN
from megbuild.store.digests import Digest, digest_bytes


class Fingerprint(Struct, frozen=True):
    """The key of an action, its components by name, and what is staged where."""

    key: str
    components: Mapping[str, str]
    staged: Mapping[str, Digest]


def fingerprint(action: Action, toolchain: Toolchain | None, made: Mapping[str, Outputs]) -> Fingerprint:
    """The fingerprint of an action whose products have been made.

    :param toolchain: the environment it runs in; None for what the core computes.
    :param made: the outputs of (at least) the actions that it takes products from.
    """
    staged: dict[str, Digest] = {}
    components: dict[str, str] = {
        f"option:{name}": str(value) for name, value in action.options.items() if not name.startswith("declared.")
    }
    components |= {
        f"declared:{name[9:]}": str(value) for name, value in action.options.items() if name.startswith("declared.")
    }
    components |= {f"environment:{name}": value for name, value in action.environment.items()}
    for entry in action.inputs:
        if isinstance(entry, Leaf):
            staged[entry.path] = entry.digest
            components[f"{entry.kind}:{entry.said}"] = entry.digest.sha256
            if entry.seen:
                components[f"{SEEN}:{entry.said}"] = entry.seen
        else:
            files = product_files(entry, made[entry.action])
            staged |= files
            name = f"from:{entry.action}"
            text = "".join(f"{path} {digest.sha256}\n" for path, digest in sorted(files.items()))
            components[name] = digest_bytes((components.get(name, "") + text).encode()).sha256
    if toolchain is not None:
        components[f"toolchain:{toolchain.name}"] = toolchain.digest
    platform = {"ISA": "x86-64", "OSFamily": "linux", "toolchain": toolchain.digest if toolchain else "none"}
    for sdk in toolchain.sdks if toolchain else ():
        components[f"sdk:{sdk.name}"] = platform[f"sdk {sdk.name}"] = sdk.version
    return Fingerprint(action_key(action, staged, platform), components, staged)


def product_files(product: Product, outputs: Outputs) -> dict[str, Digest]:
    """Where the files of a product are staged: those at or under its output, moved to its path."""
    prefix = product.output + "/"
    return {
        product.path + path[len(product.output) :]: digest
        for path, digest in outputs.items()
        if path == product.output or path.startswith(prefix)
    }
