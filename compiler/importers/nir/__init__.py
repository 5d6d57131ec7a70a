"""Spiking networks in files of the Neuromorphic Intermediate Representation."""

from pulsarray.extras import require

require("NIR files", "nir")
