"""Actions that fail, in every way that training code or a tool can: what is said, what is kept, what still runs."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from .workspace import Outcome, Workspace

Make = Callable[[dict[str, str]], Workspace]

TRAIN = "def train(weights):\n"


def failed(outcome: Outcome, action: str) -> list[str]:
    """The lines that were printed of the one action that failed."""
    assert outcome.status == 1, outcome.text
    at = next(number for number, line in enumerate(outcome.errors) if line.startswith(f"{action}: "))
    more = outcome.errors[at + 1 :]
    last = next((number for number, line in enumerate(more) if not line.startswith("  ")), len(more))
    assert "Traceback" not in "\n".join(more[last:]), outcome.text
    return [outcome.errors[at], *more[:last]]


def by_hand(lines: list[str]) -> subprocess.CompletedProcess[str]:
    """Run the command that a failure shows, elsewhere and without megbuild's environment."""
    (command,) = [line.removeprefix("  by hand: ") for line in lines if line.startswith("  by hand: ")]
    return subprocess.run(["sh", "-c", command], cwd="/", env={}, capture_output=True, text=True, timeout=120)


def test_a_failing_verdict_fails_its_output_and_keeps_what_was_published(monorepo: Workspace) -> None:
    before = monorepo.artifacts()
    monorepo.edit("vision/detector/MODELS.toml", "verify = { max_abs = 0.01 }", "verify = { max_abs = 1e-9 }")
    for _ in range(2):  # it is no less wrong the second time
        outcome = monorepo.build()
        (line,) = failed(outcome, "//vision/detector:parts@gateway")
        assert re.search(r"max_abs of boxes is \S+ on sample [012], asked at most 1e-09", line)
        assert outcome.ran == {}
        row = outcome.rows["//vision/detector:parts@gateway"]
        assert row["status"] == "refused"
        assert "max_abs of boxes" in row["reason"]
        assert outcome.statuses["//vision/detector:parts@kiosk"] == "up to date"
        assert monorepo.artifacts() == before
    monorepo.edit("vision/detector/MODELS.toml", "max_abs = 1e-9", "max_abs = 0.01")
    assert monorepo.build().status == 0


def test_a_result_that_differs_is_found_by_its_verdict(small: Workspace) -> None:
    """A new artifact that fails never takes the place of the one that passed."""
    before = small.artifacts()
    small.edit(
        "MODELS.toml",
        "[models.scale.outputs.x86]",
        "[models.scale.outputs.x86]\nverify = { sqnr_db = 1001 }\nprecision = 'fp16'",
    )
    outcome = small.build()
    (line,) = failed(outcome, "//:scale@x86")
    assert re.search(r"sqnr_db of y is \S+ on sample 0, asked at least 1001", line)
    assert outcome.ran.keys() == {"//:scale#mge-fp16", "//:scale#mge-fp16+measured"}
    assert small.artifacts() == before


def test_a_delivered_file_that_is_not_the_pinned_one(monorepo: Workspace) -> None:
    before = monorepo.artifacts()
    with (monorepo.root / "speech/keyword.tm").open("ab") as file:
        file.write(b"more")
    outcome = monorepo.build("-k")
    line, *_ = failed(outcome, "//speech:keyword#tm")
    assert re.search(r"speech/keyword.tm has sha256 [0-9a-f]{64}, pinned is [0-9a-f]{64}", line)
    assert outcome.rows["//speech:keyword@gateway"]["status"] == "failed"
    assert outcome.ran == {}
    assert monorepo.artifacts() == before


def test_a_changed_pin_is_checked_though_the_file_is_the_same(monorepo: Workspace) -> None:
    text = monorepo.read("speech/MODELS.toml")
    (pin,) = re.findall(r'sha256 = "([0-9a-f]{64})"', text)
    monorepo.edit("speech/MODELS.toml", pin, pin[::-1])
    outcome = monorepo.build()
    assert f"pinned is {pin[::-1]}" in failed(outcome, "//speech:keyword#tm")[0]


def test_training_code_that_crashes(small: Workspace) -> None:
    """The line is the user's own, though the action saw the code without its comments."""
    before = small.artifacts()
    small.edit("scale.py", TRAIN, TRAIN + "    # one\n    # two\n    raise ValueError('no such data')\n")
    line_number = small.read("scale.py").splitlines().index("    raise ValueError('no such data')") + 1
    outcome = small.build()
    lines = failed(outcome, "//:scale#weights")
    assert lines[0] == "//:scale#weights: exited with status 1"
    assert f'  |   File "scale.py", line {line_number}, in train' in lines
    assert "  | ValueError: no such data" in lines
    (log,) = [line.removeprefix("  log: ") for line in lines if line.startswith("  log: ")]
    assert "ValueError: no such data" in small.read(log)
    assert outcome.rows["//:scale@x86"]["status"] == "failed"
    assert outcome.rows["//:scale@x86"]["reason"] == "//:scale#weights: exited with status 1"
    assert small.artifacts() == before
    again = by_hand(lines)
    assert again.returncode == 1
    assert "ValueError: no such data" in again.stderr

    small.edit("scale.py", "    raise ValueError('no such data')\n", "")
    mended = small.build()  # only comments are left of the change
    assert (mended.status, mended.ran) == (0, {})


def test_a_file_that_is_read_and_not_declared_is_named(small: Workspace) -> None:
    """With the line that reads it, and the place where it would be declared."""
    small.write("classes.txt", "cat\n")
    small.edit("scale.py", TRAIN, TRAIN + "    # one\n    open('classes.txt')\n")
    line = small.read("scale.py").splitlines().index("    open('classes.txt')") + 1
    outcome = small.build()
    said, hint, *_ = failed(outcome, "//:scale#weights")
    assert re.search(
        r"MODELS.toml:\d+:\d+: scale.py:\d+ reads classes.txt, which //:scale does not declare \[MB415\]", said
    )
    assert f"scale.py:{line} reads" in said
    assert hint.strip() == 'hint: declare it: data = ["classes.txt"]'
    declared = re.sub(r"(?m)^(data +)= \[", r'\1= ["classes.txt", ', small.read("MODELS.toml"), count=1)
    small.write("MODELS.toml", declared)
    assert small.build().status == 0


def test_a_file_that_is_changed_and_may_not_be_is_named(small: Workspace) -> None:
    """With the line that writes, and the place of the model: its inputs, a new file beside them, what is left beside the weights."""
    changes = {
        "open('factor.txt', 'w')": "factor.txt",
        "open('notes.txt', 'w')": "notes.txt",
        "os.mkdir('cache')": "cache",
    }
    code = small.read("scale.py")
    for change, path in changes.items():
        small.write("scale.py", code.replace(TRAIN, TRAIN + f"    # one\n    import os\n    {change}\n"))
        line = small.read("scale.py").splitlines().index(f"    {change}") + 1
        said, hint, *_ = failed(small.build(), "//:scale#weights")
        assert re.search(
            rf"MODELS.toml:\d+:\d+: scale.py:{line} changes {path}, which //:scale may only read \[MB418\]", said
        )
        assert "$TMPDIR" in hint
    small.write(
        "scale.py", code.replace(TRAIN, TRAIN + "    import os\n    open(os.path.dirname(weights) + '/../old', 'w')\n")
    )
    said, *_ = failed(small.build(), "//:scale#weights")
    assert re.search(r"MODELS.toml:4:1: the action left out/old, which is no declared output \[MB404\]", said)


def test_training_code_that_returns_something_else_is_refused(small: Workspace) -> None:
    small.edit("scale.py", "    return network\n", "    return network.factor\n")
    outcome = small.build()
    lines = failed(outcome, "//:scale#tm")
    assert lines[0] == "//:scale#tm: scale.py:build returned a value of type Parameter, not a megengine.module.Module"
    assert outcome.rows["//:scale@x86"]["status"] == "refused"
    again = by_hand(lines)
    assert again.returncode == 3
    assert "returned a value of type Parameter" in again.stderr


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return", "without writing the weights"),
        (
            "open('notes.txt', 'w').write('x'); return",
            "changes notes.txt, which //:scale may only read [MB418]",
        ),
        ("import os; os._exit(0)", "ended well but did not make artifact"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
        ("import sys; sys.exit(7)", "exited with status 7"),
        ("import os; os.abort()", "was ended by SIGABRT"),
        (
            "open(weights, 'w').write('x'); open('notes.txt', 'w').write('x'); return",
            "changes notes.txt, which //:scale may only read [MB418]",
        ),
        (
            "open(weights, 'w').write('x'); open(weights[:-22] + 'notes.txt', 'w').write('x'); return",
            "left out/notes.txt, which is no declared output",
        ),
        (
            "import os; open(weights, 'w').write('x'); os.chmod('factor.txt', 0o644); open('factor.txt', 'w').write('4'); return",
            "changes factor.txt, which //:scale may only read [MB418]",
        ),
        (
            "import os; open(weights, 'w').write('x'); os.remove('factor.txt'); return",
            "changes factor.txt, which //:scale may only read [MB418]",
        ),
        (
            "import os; open(weights, 'w').write('x'); os.symlink('/etc/passwd', 'link'); return",
            "changes link, which //:scale may only read [MB418]",
        ),
        (
            "import os; os.symlink('/etc/passwd', weights); return",
            "without writing the weights",  # the link leads nowhere
        ),
        (
            "import os; open(weights, 'w').write('x'); os.mkfifo(weights + '.fifo'); return",
            "left out/artifact/model.weights.fifo, which is no plain file",
        ),
    ],
)
def test_hostile_training_code(small: Workspace, body: str, said: str) -> None:
    before = small.artifacts()
    small.edit("scale.py", TRAIN, f"{TRAIN}    {body}\n")
    outcome = small.build("//:scale@x86")
    lines = failed(outcome, "//:scale#weights")
    assert said in lines[0]
    assert outcome.ran.keys() == {"//:scale#weights"}
    assert small.artifacts() == before
    assert by_hand(lines).returncode != 127  # the command exists, whatever it does


def test_a_child_left_behind_ends_with_its_action(small: Workspace) -> None:
    small.edit("scale.py", TRAIN, TRAIN + "    import subprocess; subprocess.Popen(['sleep', '300'])\n")
    assert small.build().status == 0
    assert list(small.workers()) == []


def test_after_a_failure_nothing_else_starts(monorepo: Workspace) -> None:
    monorepo.edit("shared/blocks.py", "def convolution(", "raise RuntimeError('broken')\n\n\ndef convolution(")
    outcome = monorepo.build("-n", "1")
    assert outcome.status == 1
    assert len(outcome.ran) == 1
    (action,) = outcome.ran
    (other,) = {"//vision:sorter", "//vision/detector:parts"} - {action.removesuffix("#tm")}
    assert {row["status"] for label, row in outcome.rows.items() if label.startswith(other)} == {"not reached"}
    assert {row["status"] for label, row in outcome.rows.items() if label.startswith("//speech")} == {"up to date"}


def test_keep_going_does_all_that_does_not_need_what_failed(monorepo: Workspace) -> None:
    monorepo.edit("vision/sorter.py", "    network = Sorter()", "    raise RuntimeError('broken')")
    monorepo.edit("vision/detector/parts.py", "seed=2", "seed=3")
    outcome = monorepo.build("-k")
    assert outcome.status == 1
    assert failed(outcome, "//vision:sorter#tm")[0] == "//vision:sorter#tm: exited with status 1"
    assert {action for action in outcome.ran if action.startswith("//vision:sorter")} == {"//vision:sorter#tm"}
    assert {label: status for label, status in outcome.statuses.items() if not label.startswith("//speech")} == {
        "//vision:sorter@kiosk": "failed",
        "//vision:sorter@gateway": "failed",
        "//vision/detector:parts@kiosk": "built",
        "//vision/detector:parts@gateway": "built",
    }
    assert outcome.rows["//vision:sorter@kiosk"]["reason"] == "//vision:sorter#tm: exited with status 1"
    assert re.fullmatch(r"6 outputs: 2 built, 2 failed, 2 up to date; .* s", outcome.lines[-1])


def test_interrupted_it_stops_its_workers_and_keeps_what_finished(small: Workspace) -> None:
    small.edit(
        "scale.py",
        "    network = Scale()\n    network.load_state",
        "    import time; print('asleep', flush=True); time.sleep(300)\n    network = Scale()\n    network.load_state",
    )
    running = small.start()
    small.until_log("tm", "asleep")
    begun = time.monotonic()
    running.send(signal.SIGINT)
    outcome = running.wait()
    assert time.monotonic() - begun < 30  # it sleeps for 300
    assert outcome.status == 130
    assert outcome.errors == ("interrupted: what had finished is kept",)
    assert list(small.workers()) == []
    small.edit("scale.py", "time.sleep(300)", "time.sleep(0)")
    again = small.build()
    assert again.status == 0, again.text
    assert again.ran["//:scale#weights"] == "scale.py changed"


def test_what_a_format_cannot_express_is_told_with_the_lines_of_the_training_code(unbuilt: Make) -> None:
    space = unbuilt(
        {
            "MODELS.toml": """
                workspace = true

                [models.net]
                source  = "net.py:build"
                inputs  = [{ name = "x", shape = [1, 4, 8, 8], dtype = "float32" }]
                results = [{ name = "y", shape = [1, 4, 8, 8] }]
                [models.net.outputs.caffe]
            """,
            "net.py": '''
                """Attention, which Caffe cannot express."""
                # a comment
                import megengine.functional as F
                import megengine.module as M


                class Attention(M.Module):
                    def forward(self, x):
                        # another
                        flat = F.reshape(x, (1, 4, 64))
                        near = F.matmul(flat, F.transpose(flat, (0, 2, 1)))

                        return F.reshape(F.matmul(F.softmax(near, axis=-1), flat), (1, 4, 8, 8))


                class Net(M.Module):
                    def __init__(self):
                        super().__init__()
                        self.attention = Attention()

                    def forward(self, x):
                        return self.attention(x)


                def build():
                    return Net()
            ''',
        }
    )
    head, *lines = failed(space.build("-k"), "//:net#caffe")
    assert head == "//:net#caffe: Caffe cannot express one thing in this model"
    told = next(line for line in lines if line.startswith("  net.py:"))
    assert told.startswith("  net.py:11, net.py:13: attention.[matmul] (functional.matmul): ")
    assert "; use a product with constants" in told
