"""Facts about transition tables: a pair that is not in one is a fault of our own."""

from __future__ import annotations

from enum import Enum
from itertools import product
from typing import Any

import pytest

from openline.core.states import MACHINES, Event, Machine
from openline.delivery.entry import OUTBOUND
from openline.errors import InvariantError


def states(machine: Machine[Any]) -> list[Enum]:
    kind: type[Enum] = type(next(iter(machine.table.values())))
    return list(kind)


@pytest.mark.parametrize("machine", MACHINES, ids=[machine.name for machine in MACHINES])
def test_every_pair_is_a_row_or_a_fault(machine: Machine[Any]) -> None:
    for state, event in product(states(machine), Event):
        if (state, event) in machine.table:
            before = machine.hits[state, event]
            assert machine.next(state, event) is machine.table[state, event]
            assert machine.hits[state, event] == before + 1
        else:
            with pytest.raises(InvariantError) as raised:
                machine.next(state, event)
            assert raised.value.details["state"] == state.value


@pytest.mark.parametrize("machine", MACHINES, ids=[machine.name for machine in MACHINES])
def test_every_state_can_be_reached(machine: Machine[Any]) -> None:
    listed = states(machine)
    reached = {listed[0]}
    for _ in listed:
        reached |= {after for (before, _), after in machine.table.items() if before in reached}
    assert reached == set(listed)


def test_the_machines_are_those_of_records_and_runs() -> None:
    assert {machine.name for machine in MACHINES} >= {"inbound", "sending", "outbound"}
    assert OUTBOUND in MACHINES
