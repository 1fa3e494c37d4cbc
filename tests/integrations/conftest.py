"""The small project that the tests of the whole product have, too."""

from tests.whole.conftest import sandbox, shop

__all__ = ["sandbox", "shop"]
