"""What every test runs under: the same examples of Hypothesis each time, and a name of its own."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from schemathesis.pytest.plugin import SchemathesisFunction

settings.register_profile("stepcast", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("stepcast")


def pytest_itemcollected(item: Any) -> None:
    """Put the call into the id of its test, which pytest 9.2 leaves out."""
    if isinstance(item, SchemathesisFunction) and item.parent is not None:
        item._id = item.parent.id.child(item.name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse tests of one id, of which parallel runs leave out all but one."""
    for nodeid, count in Counter(item.nodeid for item in items).most_common(1):
        if count > 1:
            raise pytest.UsageError(f"{count} tests are called {nodeid}")
