"""The three products of a layer through address generators: no operand is ever copied.

Forward, each tap's weights meet the shifted pixels of the source; for the source's gradient, the
pixels of the error meet the transposed weights and go to shifted sums; for the weights' gradient,
D pixels of the error are stationary and meet the transposed shifted pixels of the source.
"""
