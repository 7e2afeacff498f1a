"""A post without people, and one with a person who has a passphrase."""

from __future__ import annotations

import pytest

from tests.staff import Staff


@pytest.fixture
def staff() -> Staff:
    """A post without people."""
    return Staff()


@pytest.fixture
def desk(staff: Staff) -> Staff:
    """One person with a passphrase."""
    staff.add("desk-one")
    staff.give_passphrase("desk-one", "correct horse battery")
    return staff
