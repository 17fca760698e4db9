"""The final table: one row per label."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING

from megbuild.execute.report import Row

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_STYLES = {
    "built": "green",
    "restored": "cyan",
    "up to date": "dim",
    "failed": "red",
    "refused": "red",
    "not reached": "yellow",
}

_COLUMNS = ("label", "artifact", "size", "run on", "verdict", "accuracy", "status", "time")
_NUMBERS = ("size", "accuracy", "time")
_PIECE = 1000
"""Rows that are laid out at a time."""
_NO_WRAPPING = 500
"""Columns in a pipe, so that every row is one line."""


def show(rows: Sequence[Row], seconds: float, others: int = 0) -> None:
    """Print the table and the line that sums it up, with how many other outputs are up to date."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(highlight=False, width=None if sys.stdout.isatty() else _NO_WRAPPING)
    widths = _widths(chain([_COLUMNS], map(_cells, rows)))
    unbounded = console.options.update(width=_NO_WRAPPING)
    if Measurement.get(console, unbounded, _wide([], widths)).maximum <= console.width:
        for number, some in enumerate(_pieces(rows)):
            console.print(_wide(some, widths, head=number == 0))
    else:
        widths = _widths(map(_first_cells, rows))
        for row in rows:
            for line in _narrow(row, widths):
                console.print(line)
    console.print(summary(rows, seconds, others), markup=False)


def _pieces(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Some rows at a time, as rich holds all that it prints at once; at least one piece."""
    rest = iter(rows)
    yield list(islice(rest, _PIECE))
    while some := list(islice(rest, _PIECE)):
        yield some


def _widths(lines: Iterable[Sequence[str]]) -> list[int]:
    """How wide the cells of each column are at most."""
    from rich.cells import cell_len

    widths: list[int] = []
    for cells in lines:
        found = list(map(cell_len, cells))
        widths = list(map(max, widths, found)) if widths else found
    return widths


def _cells(row: Row) -> tuple[str, ...]:
    first = row.label, row.artifact, size(row.size), row.runtime, verdict(row), accuracy(row), row.status
    return (*first, f"{row.seconds:.1f} s")


def _wide(rows: Iterable[Row], widths: Sequence[int], *, head: bool = True) -> Table:
    """Everything about an output in its row."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1), show_header=head)
    for name, width in zip(_COLUMNS, widths, strict=True):
        table.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=True, width=width)
    for row in rows:
        table.add_row(*_cells(row), style=_STYLES.get(row.status, ""))
    return table


def _first_cells(row: Row) -> tuple[str, ...]:
    return row.label, row.status, row.verdict, accuracy(row), size(row.size), f"{row.seconds:.1f} s"


def _narrow(row: Row, widths: Sequence[int]) -> Iterator[RenderableType]:
    """The same for a terminal that is too narrow for it: two lines an output, the second one indented and folded."""
    from rich.padding import Padding
    from rich.text import Text

    label, status, *figures = _first_cells(row)
    words = [label.ljust(widths[0]), status.ljust(widths[1]), figures[0].ljust(widths[2])]
    words += [figure.rjust(width) for figure, width in zip(figures[1:], widths[3:], strict=True)]
    yield Text("  ".join(words).rstrip(), style=_STYLES.get(row.status, ""))
    if below := ", ".join(filter(None, (row.artifact, row.runtime, verdict(row).partition(", ")[2]))):
        yield Padding(Text(below, style="dim"), (0, 0, 0, 4))


def summary(rows: Sequence[Row], seconds: float, others: int = 0) -> str:
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
    digits = {"cosine": 6, "max_abs": 3, "top1": 4}
    figures = [f"{name} {row.metrics[name]:.{n}g}" for name, n in digits.items() if name in row.metrics]
    counted = [f"{row.samples} sample{'s' if row.samples > 1 else ''}"] if row.samples else []
    return ", ".join([row.verdict, *figures, *counted])


def accuracy(row: Row) -> str:
    """The accuracy in percent, where the model has labels."""
    return "" if row.accuracy is None else f"{100 * row.accuracy:.2f} %"


def size(count: int) -> str:
    """Bytes as a person reads them."""
    if not count:
        return ""
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
