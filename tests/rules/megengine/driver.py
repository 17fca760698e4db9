"""Loads harmful and honest .tm files in the megengine toolchain: ``driver.py <repository> <scratch>``; answers as JSON."""

from __future__ import annotations

import importlib
import json
import pickle
import sys
from pathlib import Path
from typing import Any


def main(repository: Path, scratch: Path) -> None:
    """Answers what became of each file, and what ran."""
    (scratch / "code").mkdir()
    (scratch / "code/megbuild_worker").symlink_to(repository / "megbuild/worker")
    parts = (scratch / "code", repository / "rules/toolchains/megengine", repository / "tests/worker")
    sys.path[:0] = [str(part) for part in parts]
    harmful = importlib.import_module("harmful_pickles")
    marker = scratch / "it-ran"
    answers: dict[str, Any] = {}
    for kind, content in {**harmful.files(str(marker)), **_graphs(harmful)}.items():
        answers[kind] = _load(scratch / "net.tm", content)
    answers["state of weights"] = _weights(scratch, harmful)
    answers["honest"] = _load(scratch / "net.tm", pickle.dumps(_network(), 4))
    answers["ran"] = marker.exists() or "antigravity" in sys.modules
    print(json.dumps(answers))


def _load(path: Path, content: bytes) -> str:
    tm_file = importlib.import_module("tm_file")
    job = importlib.import_module("megbuild_worker.job")
    path.write_bytes(content)
    try:
        return f"loaded {type(tm_file.load(path)).__name__}"
    except job.Refusal as refusal:
        return f"refused: {refusal}"
    except BaseException as error:
        return f"broke: {type(error).__name__}: {error}"


def _network() -> Any:
    import megengine
    import megengine.functional as F
    import megengine.module as M
    from megengine.traced_module import trace_module

    class Net(M.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = M.Conv2d(1, 2, 3)
            self.relu = M.ReLU()

        def forward(self, x: Any) -> Any:
            y = F.relu(self.relu(self.conv(x)) * 2.0 + x[:, :, 1:-1, 1:-1].sum())
            return {"y": y.reshape(y.shape[0], -1), "z": F.full_like(y, 1.0)}

    network = Net()
    network.eval()
    return trace_module(network, megengine.Tensor([[[[0.0] * 5] * 5]]))


def _graphs(harmful: Any) -> dict[str, bytes]:
    """Whole networks with a gadget in them."""
    from megengine.traced_module import expr

    def changed(kind: type, name: str, value: str) -> bytes:
        network = _network()
        found = next(
            e
            for e in next(iter(network.argdef_graph_map.values()))._exprs
            if isinstance(e, kind) and getattr(e, name) != "__call__"
        )
        setattr(found, name, value)
        return pickle.dumps(network, 4)

    honest = pickle.dumps(_network(), 4)
    call = harmful.called("builtins", "tuple", b"](" + harmful.text("os") + harmful.text("system") + b"e")
    return {
        "graph with a method of Python's": changed(expr.CallMethod, "method", "__reduce_ex__"),
        "graph with an attribute of Python's": changed(expr.GetAttr, "name", "__class__"),
        "computed pair": harmful.computed_pair(),
        "computed pair of a call": harmful.file(
            harmful.instance("megengine.traced_module.expr", "CallFunction", harmful.attributes(func=call))
        ),
        "honest network and a call": honest[:-1]
        + b"0"
        + harmful.called("posix", "system", harmful.text("true"))
        + b".",
    }


def _weights(scratch: Path, harmful: Any) -> list[str]:
    """What training code gets that loads files of others: the harmful one, an honest one, one of its own classes."""
    import megengine
    import tm_file

    class Own:
        pass

    Own.__qualname__ = "Own"
    sys.modules[__name__].Own = Own  # type: ignore[attr-defined]
    answers = []
    for content in (
        harmful.files(str(scratch / "it-ran"))["os.system"],
        pickle.dumps(_network().state_dict(), 4),
        pickle.dumps(Own(), 4),
    ):
        (scratch / "weights").write_bytes(content)
        for own in (False, True):
            try:
                with tm_file.guarded(lambda module, own=own: own and module == __name__, {}):
                    answers.append(type(megengine.load(str(scratch / "weights"))).__name__)
            except Exception as error:
                answers.append(type(error).__name__)
    return answers


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
