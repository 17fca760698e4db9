"""The final table: one row per label."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from megbuild.execute.report import Row

_STYLES = {
    "built": "green",
    "restored": "cyan",
    "up to date": "dim",
    "failed": "red",
    "refused": "red",
    "not reached": "yellow",
}

_NO_WRAPPING = 500
"""Columns in a pipe, so that every row is one line."""


def show(rows: Iterable[Row], seconds: float, others: int = 0) -> None:
    """Print the table and the line that sums it up, with how many other outputs are up to date."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, width=None if sys.stdout.isatty() else _NO_WRAPPING)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1))
    for name, justify in (
        ("label", "left"),
        ("artifact", "left"),
        ("size", "right"),
        ("run on", "left"),
        ("verdict", "left"),
        ("accuracy", "right"),
        ("status", "left"),
        ("time", "right"),
    ):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    rows = list(rows)
    for row in rows:
        accuracy = "" if row.accuracy is None else f"{100 * row.accuracy:.2f} %"
        table.add_row(
            row.label,
            row.artifact,
            size(row.size),
            row.runtime,
            verdict(row),
            accuracy,
            row.status,
            f"{row.seconds:.1f} s",
            style=_STYLES.get(row.status, ""),
        )
    console.print(table)
    console.print(summary(rows, seconds, others), markup=False)


def summary(rows: list[Row], seconds: float, others: int = 0) -> str:
    """How many outputs had each status, and the time of the whole build; ``others`` have no row and are up to date."""
    counts: dict[str, int] = {"up to date": others} if others else {}
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    total = len(rows) + others
    return f"{total} {'output' if total == 1 else 'outputs'}: {told}; {seconds:.1f} s"


def verdict(row: Row) -> str:
    """The verdict with the figures that it rests on, worst sample first."""
    if not row.verdict:
        return ""
    figures = [f"{name} {row.metrics[name]:.6g}" for name in ("cosine", "max_abs", "top1") if name in row.metrics]
    counted = [f"{row.samples} sample{'s' if row.samples > 1 else ''}"] if row.samples else []
    return ", ".join([row.verdict, *figures, *counted])


def size(count: int) -> str:
    """Bytes as a person reads them."""
    if not count:
        return ""
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
