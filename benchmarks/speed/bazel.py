"""Bazel as a peer: Debian's bazel-bootstrap, unpacked into a folder of its own, with its server running.

Debian's packages want to lie below /usr. The server is started with them laid over /usr in a mount namespace, which
takes root; the client, which is what runs each time, needs only its libraries. A Java runtime has to be on the machine.
What the server uses is counted beside its client: it does the work.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from speed.graph import SHARED, STEPS, Model
from speed.measure import Command

_LAID_OVER = ("/usr/bin", "/usr/lib", "/usr/libexec", "/usr/share")
_INSIDE = """\
root=$1; shift
for folder in {folders}; do mount -t overlay overlay -o lowerdir="$root$folder:$folder" "$folder" || exit 1; done
exec "$@"
""".format(folders=" ".join(_LAID_OVER))
_OPTIONS = ("--noshow_progress", "--spawn_strategy=local", "--host_javabase=@local_jdk//:jdk", "--symlink_prefix=/")


def install(folder: Path) -> str:
    """The client, unpacked from the packages that apt-get fetches."""
    root = folder / "bazel"
    program = root / "usr/bin/bazel-4"
    if not program.exists():
        packages = folder / "bazel-packages"
        packages.mkdir(parents=True, exist_ok=True)
        simulated = ["apt-get", "-s", "install", "--no-install-recommends", "bazel-bootstrap"]
        done = subprocess.run(simulated, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"there is no bazel-bootstrap: {done.stderr.strip()}")
        names = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("Inst ")]
        subprocess.run(["apt-get", "-q", "download", *names], cwd=packages, check=True, stdout=subprocess.DEVNULL)
        for package in packages.glob("*.deb"):
            subprocess.run(["dpkg", "-x", package, root], check=True)
    return str(program)


def version(program: str) -> str:
    """The version of Debian's package."""
    with gzip.open(Path(program).parents[1] / "share/doc/bazel-bootstrap/changelog.Debian.gz", "rt") as changes:
        return changes.readline().split()[1].strip("()")


def environment(program: str) -> dict[str, str]:
    """The variables of the client."""
    return {"LD_LIBRARY_PATH": f"{Path(program).parents[1]}/lib/x86_64-linux-gnu"}


def write(root: Path, models: Iterable[Model]) -> None:
    """The build files: a genrule for each action, a package for each folder."""
    (root / "WORKSPACE").write_text("")
    (root / "BUILD").write_text(f'exports_files(["{SHARED}"])\n')
    rules: dict[str, list[str]] = {}
    for model in models:
        for form, source in STEPS.items():
            read = [f"{model.name}.py", f"//:{SHARED}"] if source == "source" else [f"{model.name}.{source}"]
            rules.setdefault(model.package, []).append(
                f'genrule(name = "{model.name}_{form}", srcs = {read!r}, outs = ["{model.name}.{form}"],\n'
                f'    cmd = "cat $(SRCS) > $@ && echo {form} >> $@")\n'
            )
    for package, texts in rules.items():
        (root / package / "BUILD").write_text("".join(texts))


def words(program: str) -> tuple[str, ...]:
    """The client with the options that its server was started with."""
    root = Path(program).parents[2]
    kept = f"--output_user_root={root.parent / 'bazel-output'}"
    here = ("--nosystem_rc", "--nohome_rc", "--noworkspace_rc", "--max_idle_secs=600")
    return (program, kept, f"--install_base={root}/usr/share/bazel", "--trust_install_base", *here)


def serve(program: str, root: Path) -> int:
    """Start the server of a workspace; its process."""
    inside = ["unshare", "--mount", "sh", "-c", _INSIDE, "inside", str(Path(program).parents[2])]
    done = subprocess.run([*inside, *words(program), "info", "server_pid"], cwd=root, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"Bazel's server does not start: {done.stderr.strip()[-2000:]}")
    return int(done.stdout)


def command(program: str, root: Path) -> Command:
    """The build of everything, with the server that it goes to."""
    build = (*words(program), "build", *_OPTIONS, "//...")
    return Command(build, root, environment(program), server=serve(program, root))


def end(program: str, root: Path) -> None:
    """Stop the server."""
    variables = {**os.environ, **environment(program)}
    subprocess.run([*words(program), "shutdown"], cwd=root, env=variables, check=False, capture_output=True)
