"""What one action may use, as ``limits`` of MODELS.toml and ``[limits]`` of toolchain.toml say it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0, le=10**8)]
MB = Annotated[float, Meta(gt=0, le=10**9)]


class Limits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits of one action; MB are 10^6 bytes. None leaves it to the toolchain, or to megbuild's defaults."""

    seconds: Annotated[Seconds | None, Meta(description="Wall time of an action that is no training.")] = None
    train_seconds: Annotated[Seconds | None, Meta(description="Wall time of a training.")] = None
    memory_mb: Annotated[MB | None, Meta(description="Memory of each of its processes.")] = None
    processes: Annotated[
        Annotated[int, Meta(ge=8, le=10**6)] | None, Meta(description="Processes and threads at a time.")
    ] = None
    output_mb: Annotated[MB | None, Meta(description="All that it leaves or keeps in files, scratch included.")] = None
    print_mb: Annotated[MB | None, Meta(description="What it prints.")] = None

    def over(self, below: Limits) -> Limits:
        """With the values of ``below`` where these say nothing."""
        own = {name: getattr(self, name) for name in self.__struct_fields__}
        return Limits(**{name: getattr(below, name) if value is None else value for name, value in own.items()})


UNLIMITED = Limits()
"""Says nothing."""
