import pytest
from support import lab


@pytest.fixture(scope="session")
def hosts():
    lab("down")
    yield
    lab("down")
