"""A quantized network's tensors: where they lie, on chip or in memory, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pulsarray.compiler.machine.layout import Layout
from pulsarray.compiler.products.drain import PARAMETER_COLUMNS
from pulsarray.compiler.products.product import Product, Requantize
from pulsarray.compiler.quantization.quantize import QuantizedLayer, QuantizedNetwork
from pulsarray.config import Config
from pulsarray.program import Tensor
from pulsarray.views import HostView

__all__ = ["place"]


def place(
    network: QuantizedNetwork, config: Config, batch: int, layout: Layout
) -> Iterator[Product]:
    """Every layer with its tensors placed; results stay on chip where a bank holds them.

    Parameters
    ----------
    network
        The layers in integers.
    config
        The machine.
    batch
        Rows of the first layer's source.
    layout
        Memory, to which the tensors are added.

    Raises
    ------
    InputError
        If a tensor does not fit the machine's 32-bit addresses.
    """
    source: Tensor | None = None
    for number, layer in enumerate(network.layers):
        k, n = layer.weight.shape
        first, last = number == 0, number == len(network.layers) - 1
        if first:
            source = _activation(layout, network.input_name, "input", batch, k, layer, source=True,
                                 view=network.input_view)  # fmt: skip
        weights = layout.add(f"{layer.name}.weight", "weight", k, n, values=layer.weight)
        parameters = _parameters(layer, config, layout)
        table = None if layer.table is None else _table(layer, config, layout)
        result: Tensor | None = None
        if last:
            result = _activation(layout, network.output_name, "output", batch, n, layer,
                                 after=network.after, view=network.output_view)  # fmt: skip
        elif batch * -(-n // config.dim) > config.scratchpad_depth:
            result = _activation(layout, f"{layer.name}.result", "intermediate", batch, n, layer)
        yield Product(
            name=layer.name,
            kind=layer.kind,
            m=batch,
            k=k,
            n=n,
            source=source,
            weights=weights,
            result=result,
            requantize=Requantize(per_lane=True, zero=layer.zero, low=layer.low, high=layer.high),
            parameters=parameters,
            table=table,
        )
        source = result


def _activation(
    layout: Layout,
    name: str,
    role: str,
    rows: int,
    columns: int,
    layer: QuantizedLayer,
    *,
    source: bool = False,
    after: str = "",
    view: HostView | None = None,
) -> Tensor:
    quantization = layer.source if source else layer.target
    return layout.add(
        name,
        role,
        rows,
        columns,
        scale=quantization.scale,
        zero_point=quantization.zero_point,
        after=after,
        view=view,
    )


def _parameters(layer: QuantizedLayer, config: Config, layout: Layout) -> Tensor:
    """Rows of bias, multiplier, shift and constant, one row a column block."""
    blocks = -(-len(layer.bias) // config.dim)
    rows = np.zeros((blocks * config.dim, PARAMETER_COLUMNS), np.int64)
    rows[: len(layer.bias), :3] = np.stack([layer.bias, layer.multiplier, layer.shift], axis=1)
    words = rows.reshape(blocks, config.dim, PARAMETER_COLUMNS).transpose(0, 2, 1)
    return layout.add(
        f"{layer.name}.parameters",
        "constant",
        blocks * PARAMETER_COLUMNS,
        config.dim,
        element="sum",
        values=words.reshape(-1, config.dim),
    )


def _table(layer: QuantizedLayer, config: Config, layout: Layout) -> Tensor:
    entries = np.zeros(config.table_words * config.word_bytes, np.int8)
    assert layer.table is not None
    entries[: len(layer.table)] = layer.table
    return layout.add_raw(f"{layer.name}.table", entries.view(np.uint8))
