"""One Python that has loaded torch, for all tests of scripts."""

from collections.abc import Iterator

import pytest

from tests.engine.script.forking import copies


@pytest.fixture(scope="session", autouse=True)
def copies_of_a_loaded_python() -> Iterator[None]:
    with copies():
        yield
