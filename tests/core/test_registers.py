"""The register map: addresses, counters, what drivers rely on."""

from __future__ import annotations

import pytest

from pulsarray.config import PRESETS, SEMAPHORES
from pulsarray.isa import Unit
from pulsarray.registers import (
    COUNTER_BASE,
    COUNTERS,
    IDENTITY,
    PARAMETER_BASE,
    REGISTERS,
    UNIT_STATES,
    Control,
    ErrorCode,
    Status,
    counter_address,
    parameter_values,
)


def test_addresses_are_distinct_words_below_the_counters() -> None:
    addresses = [register.address for register in REGISTERS]
    assert addresses == sorted(set(addresses))
    assert all(a % 4 == 0 and a < COUNTER_BASE for a in addresses)
    assert len({register.name for register in REGISTERS}) == len(REGISTERS)


def test_known_addresses() -> None:
    known = {register.name: register.address for register in REGISTERS}
    assert known["ID"] == 0
    assert (known["CONTROL"], known["STATUS"]) == (0x10, 0x14)
    assert counter_address("cycles") == 0x100
    assert IDENTITY.to_bytes(4, "little") == b"PULS"


def test_counters_cover_every_unit_and_semaphore() -> None:
    assert len(set(COUNTERS)) == len(COUNTERS)
    for unit in Unit:
        assert {f"{unit.name.lower()}_{state}" for state in UNIT_STATES} <= set(COUNTERS)
    assert {f"semaphore_{k}_wait" for k in range(SEMAPHORES)} <= set(COUNTERS)
    last = counter_address(COUNTERS[-1])
    assert last == COUNTER_BASE + 4 * (len(COUNTERS) - 1) < PARAMETER_BASE


def test_counter_wrong() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        counter_address("lunches")


def test_bits_and_codes_are_fixed() -> None:
    assert (Control.START, Control.CLEAR, Control.STOP) == (1, 2, 4)
    assert (Status.RUNNING, Status.DONE, Status.ERROR) == (1, 2, 4)
    assert [int(code) for code in ErrorCode] == list(range(11))


def test_parameters_follow_the_configuration() -> None:
    values = parameter_values(PRESETS["tiny"])
    assert list(values) == list(PRESETS["tiny"].to_dict())
    assert (values["dim"], values["transposer"], values["training"]) == (4, 1, 0)
    assert PARAMETER_BASE + 4 * len(values) <= 0x1000
