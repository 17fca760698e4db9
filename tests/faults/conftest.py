"""Toy workspaces whose toolchains are installed once in a test session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.toys import Toys


@pytest.fixture(scope="session")
def session_toys(tmp_path_factory: pytest.TempPathFactory) -> Toys:
    toys = Toys(tmp_path_factory.mktemp("toys"))
    space = toys.space()
    outcome = space.build()
    assert outcome.status == 0, outcome.text
    toys.drop(space)
    return toys


@pytest.fixture
def toys(session_toys: Toys) -> Iterator[Toys]:
    yield session_toys
    session_toys.end()
