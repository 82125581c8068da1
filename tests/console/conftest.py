"""One browser for all tests of a file."""

from collections.abc import Iterator

import pytest

from tests.console import browser as browsers
from tests.console.browser import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.running(browsers.chromium()) as running:
        yield running
