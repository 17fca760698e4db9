"""Keys: byte for byte what protobuf's own library writes, and sensitive to every part."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from megbuild.graph.actions import Action
from megbuild.graph.keys import Request, action_key, action_request
from megbuild.graph.messages import digest_message
from megbuild.store.digests import Digest, digest_bytes

FIELDS: Mapping[str, list[tuple[int, str, str]]] = {
    # the fields of build.bazel.remote.execution.v2 that megbuild sets: number, name, type ("+" repeats)
    "Digest": [(1, "hash", "string"), (2, "size_bytes", "int64")],
    "FileNode": [(1, "name", "string"), (2, "digest", "Digest"), (4, "is_executable", "bool")],
    "DirectoryNode": [(1, "name", "string"), (2, "digest", "Digest")],
    "Directory": [(1, "files", "+FileNode"), (2, "directories", "+DirectoryNode")],
    "EnvironmentVariable": [(1, "name", "string"), (2, "value", "string")],
    "Property": [(1, "name", "string"), (2, "value", "string")],
    "Platform": [(1, "properties", "+Property")],
    "Command": [
        (1, "arguments", "+string"),
        (2, "environment_variables", "+EnvironmentVariable"),
        (5, "platform", "Platform"),
        (7, "output_paths", "+string"),
    ],
    "Action": [(1, "command_digest", "Digest"), (2, "input_root_digest", "Digest"), (10, "platform", "Platform")],
}


def reference_messages() -> dict[str, Any]:
    """The API's messages, as classes of the protobuf library."""
    kind = descriptor_pb2.FieldDescriptorProto
    scalars = {"string": kind.TYPE_STRING, "int64": kind.TYPE_INT64, "bool": kind.TYPE_BOOL}
    file = descriptor_pb2.FileDescriptorProto(name="reapi.proto", package="v2", syntax="proto3")
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        for number, field, type_ in fields:
            repeated, type_ = type_.startswith("+"), type_.lstrip("+")
            entry = message.field.add(name=field, number=number, type=scalars.get(type_, kind.TYPE_MESSAGE))
            entry.label = kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL
            if type_ not in scalars:
                entry.type_name = f".v2.{type_}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"v2.{name}")) for name in FIELDS}


V2 = reference_messages()


def encoded(message: Any) -> tuple[Any, bytes]:
    """The message's Digest message, and its bytes."""
    content: bytes = message.SerializeToString(deterministic=True)
    return V2["Digest"](hash=hashlib.sha256(content).hexdigest(), size_bytes=len(content)), content


def reference(
    action: Action, inputs: Mapping[str, Digest], platform: Mapping[str, str], executable: frozenset[str] = frozenset()
) -> tuple[str, dict[str, bytes]]:
    """Key and messages by digest, made with the protobuf library."""
    messages: dict[str, bytes] = {}

    def keep(message: Any) -> Any:
        digest, content = encoded(message)
        messages[digest.hash] = content
        return digest

    def tree(prefix: str) -> Any:
        names = sorted({path[len(prefix) :].split("/")[0] for path in inputs if path.startswith(prefix)})
        message = V2["Directory"]()
        for name in names:
            path = prefix + name
            if path in inputs:
                digest = V2["Digest"](hash=inputs[path].sha256, size_bytes=inputs[path].size)
                message.files.add(name=name, digest=digest, is_executable=path in executable)
            else:
                message.directories.add(name=name, digest=tree(path + "/"))
        return keep(message)

    properties = V2["Platform"](properties=[V2["Property"](name=n, value=v) for n, v in sorted(platform.items())])
    command = V2["Command"](arguments=action.arguments, output_paths=sorted(set(action.outputs)))
    for name, value in sorted(action.environment.items()):
        command.environment_variables.add(name=name, value=value)
    whole = V2["Action"]()
    if platform:
        command.platform.CopyFrom(properties)
        whole.platform.CopyFrom(properties)
    whole.command_digest.CopyFrom(keep(command))
    whole.input_root_digest.CopyFrom(tree(""))
    return keep(whole).hash, messages


def an_action(**changes: Any) -> Action:
    given_ = Action(
        id="//vision:resnet18#rknn",
        step="rknn",
        summary="rknn resnet18",
        model="//vision:resnet18",
        toolchain="rknn",
        inputs=(),
        outputs=("out/artifact", "out/io.json"),
        arguments=("python", "-B", "code/megbuild_worker/__main__.py", "request.json"),
        environment={"LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"},
    )
    return replace(given_, **changes)


INPUTS = {
    "request.json": digest_bytes(b"{}"),
    "in/onnx/model.onnx": digest_bytes(b"onnx"),
    "in/calibration/000.npy": digest_bytes(b""),
    "code/rules/rknn/worker.py": digest_bytes(b"def build(job): ..."),
}
PLATFORM = {"toolchain": "ab" * 32, "os": "linux"}

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda word: word not in (".", "..")
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
digests = st.builds(Digest, st.binary(min_size=32, max_size=32).map(bytes.hex), st.integers(0, 2**63 - 1))


def flattened(tree: Any, prefix: str = "") -> dict[str, Digest]:
    if isinstance(tree, Digest):
        return {prefix[:-1]: tree}
    return {
        path: digest for name, below in tree.items() for path, digest in flattened(below, f"{prefix}{name}/").items()
    }


trees = st.dictionaries(
    words, st.recursive(digests, lambda below: st.dictionaries(words, below, min_size=1, max_size=4), max_leaves=12)
).map(flattened)
mappings = st.dictionaries(texts, texts, max_size=4)
actions = st.builds(
    lambda arguments, environment, outputs: an_action(arguments=arguments, environment=environment, outputs=outputs),
    st.lists(texts, max_size=5).map(tuple),
    mappings,
    st.lists(words, max_size=4).map(tuple),
)


@settings(deadline=None, max_examples=300)
@given(actions, trees, mappings, st.data())
def test_messages_are_those_of_the_protobuf_library(
    action: Action, inputs: dict[str, Digest], platform: dict[str, str], data: st.DataObject
) -> None:
    executable = data.draw(st.frozensets(st.sampled_from(sorted(inputs)))) if inputs else frozenset()
    key, messages = reference(action, inputs, platform, executable)
    request = action_request(action, inputs, platform, executable)
    assert {digest.sha256: content for digest, content in request.messages.items()} == messages
    assert request.key == key == action_key(action, inputs, platform, executable)
    assert all(digest == digest_bytes(content) for digest, content in request.messages.items())


@given(digests)
def test_a_digest_of_any_size_is_encoded_like_the_library_does(digest: Digest) -> None:
    assert digest_message(digest) == V2["Digest"](hash=digest.sha256, size_bytes=digest.size).SerializeToString()


def test_the_key_of_a_known_action_never_changes() -> None:
    # another key here means that no cache of an earlier megbuild is ever hit again
    request = action_request(an_action(), INPUTS, PLATFORM)
    assert isinstance(request, Request) and len(request.messages) == 9
    assert request.key == reference(an_action(), INPUTS, PLATFORM)[0]
    assert request.key == "f871053a61113d72823ca3492585f643c3408b8bd0f1804b11b696b889940849"


@settings(deadline=None)
@given(trees, mappings, mappings, st.randoms())
def test_no_order_enters_the_key(
    inputs: dict[str, Digest], environment: dict[str, str], platform: dict[str, str], random: Any
) -> None:
    def shuffled(mapping: dict[str, Any]) -> dict[str, Any]:
        items = list(mapping.items())
        random.shuffle(items)
        return dict(items)

    one = action_key(an_action(environment=environment, outputs=("a", "b")), inputs, platform)
    other = an_action(environment=shuffled(environment), outputs=("b", "a"))
    assert action_key(other, shuffled(inputs), shuffled(platform)) == one


def test_any_change_of_any_part_changes_the_key() -> None:
    action = an_action()
    asked = [
        (action, INPUTS, PLATFORM, ()),
        (an_action(arguments=(*action.arguments, "")), INPUTS, PLATFORM, ()),
        (an_action(arguments=action.arguments[::-1]), INPUTS, PLATFORM, ()),
        (an_action(environment={**action.environment, "X": ""}), INPUTS, PLATFORM, ()),
        (an_action(environment={**action.environment, "LC_ALL": "C"}), INPUTS, PLATFORM, ()),
        (an_action(outputs=("out/artifact",)), INPUTS, PLATFORM, ()),
        (action, {**INPUTS, "request.json": digest_bytes(b"{ }")}, PLATFORM, ()),
        (action, {**INPUTS, "request.json": Digest(INPUTS["request.json"].sha256, 3)}, PLATFORM, ()),
        (action, {**INPUTS, "in/onnx/more": digest_bytes(b"")}, PLATFORM, ()),
        (action, {k: v for k, v in INPUTS.items() if k != "in/onnx/model.onnx"}, PLATFORM, ()),
        (action, {k.replace("000", "001"): v for k, v in INPUTS.items()}, PLATFORM, ()),
        (action, {k.replace("in/onnx", "in/tm"): v for k, v in INPUTS.items()}, PLATFORM, ()),
        (action, {}, PLATFORM, ()),
        (action, INPUTS, {**PLATFORM, "toolchain": "cd" * 32}, ()),
        (action, INPUTS, {**PLATFORM, "isa": ""}, ()),
        (action, INPUTS, {}, ()),
        (action, INPUTS, PLATFORM, ("code/rules/rknn/worker.py",)),
    ]
    keys = [action_key(*arguments) for arguments in asked]
    assert len(set(keys)) == len(keys)


@settings(deadline=None)
@given(actions, actions, trees, trees, mappings, mappings)
def test_equal_keys_mean_equal_parts(
    one: Action,
    other: Action,
    tree: dict[str, Digest],
    tree2: dict[str, Digest],
    platform: dict[str, str],
    platform2: dict[str, str],
) -> None:
    def parts(action: Action, inputs: dict[str, Digest], on: dict[str, str]) -> object:
        return action.arguments, dict(action.environment), set(action.outputs), inputs, on

    equal = action_key(one, tree, platform) == action_key(other, tree2, platform2)
    assert equal == (parts(one, tree, platform) == parts(other, tree2, platform2))


@pytest.mark.parametrize("field", ["id", "step", "summary", "model", "toolchain"])
def test_names_do_not_enter_the_key(field: str) -> None:
    assert action_key(an_action(**{field: "another"}), INPUTS, PLATFORM) == action_key(an_action(), INPUTS, PLATFORM)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../up", "a/../b", "a//b", "a/", "./a"])
def test_a_path_outside_the_staged_folder_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="no path inside a staged folder"):
        action_key(an_action(), {path: digest_bytes(b"")}, PLATFORM)


def test_a_file_that_is_also_a_folder_is_refused() -> None:
    with pytest.raises(ValueError, match="both as a file and as a folder"):
        action_key(an_action(), {"in/a": digest_bytes(b""), "in/a/b": digest_bytes(b"")}, PLATFORM)
