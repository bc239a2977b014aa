"""The cast of tests/world.py, made anew for each test that asks for it.

Conftests are read before Django is set up: models are imported inside.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.world import World


@pytest.fixture
def world(db: None) -> "World":
    from tests.world import make_world

    return make_world()
