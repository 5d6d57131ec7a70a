"""``pulsarray info``: what follows from a configuration."""

from __future__ import annotations

from typing import Any

from pulsarray.cli.options import (
    ConfigOption,
    EnergyTableOption,
    JsonOption,
    SetOption,
    chosen_config,
)
from pulsarray.cli.output import print_json, show
from pulsarray.config import Config
from pulsarray.display.facts import facts
from pulsarray.report.energy import event_energies
from pulsarray.report.energy_table import load_table
from pulsarray.report.hardware import hardware_of, hardware_text
from pulsarray.stages import sum_cycles

__all__ = ["info"]


def info(
    config: ConfigOption = None,
    overrides: SetOption = None,
    energy_table: EnergyTableOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a machine's parameters and what follows from them: sizes, widths, peak rates, energies.

    For example:

      pulsarray info --config base

      pulsarray info --config small --set dim=5 --json
    """
    machine = chosen_config(config, overrides)
    table = load_table(energy_table)
    energies = event_energies(machine, table)
    if as_json:
        estimate = {"table": table.name, "source": table.source, "pj": energies}
        data = {"config": machine.to_dict(), "derived": derived(machine)}
        print_json({**data, "energy_estimate": estimate, "hardware": hardware_of(machine)})
        return
    show("[bold]Parameters[/bold] (names for --set and TOML)")
    show(facts({name: _text(value) for name, value in machine.to_dict().items()}))
    show("\n[bold]What follows[/bold]")
    show(facts(derived(machine)))
    show(f"\n[bold]Energy of events, estimated[/bold] (picojoule; {table.name})")
    show(facts({name: f"{value:,.4g}" for name, value in energies.items()}))
    synthesized = hardware_of(machine)
    if synthesized:
        show("\n[bold]On hardware[/bold] (without trace, by make bench-synth)")
        show(facts(dict(hardware_text(synthesized))))


def _text(value: int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:,}"


def derived(config: Config) -> dict[str, Any]:
    """Sizes in bytes, widths in bits, and rates per cycle."""
    scratchpad = config.scratchpad_banks * config.scratchpad_depth * config.dim
    sums = config.accumulator_banks * config.accumulator_depth * config.dim * config.acc_bits
    return {
        "fingerprint": config.fingerprint,
        "multipliers": config.dim**2,
        "scratchpad_bytes": scratchpad * config.operand_bytes,
        "accumulator_bytes": sums // 8,
        "word_bytes_in_memory": config.word_bytes,
        "acc_word_bytes_in_memory": config.acc_word_bytes,
        "beats_per_word": config.beats_per_word,
        "burst_bytes": config.burst_bytes,
        "fetch_bytes": config.fetch_bytes,
        "partial_sum_bits": config.psum_bits,
        "table_words": config.table_words,
        "peak_macs_per_cycle": config.dim**2,
        "bus_bytes_per_cycle": config.bus_bytes,
        "array_latency_cycles": sum_cycles(config),
    }
