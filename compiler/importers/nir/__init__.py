"""Spiking networks in files of the Neuromorphic Intermediate Representation."""
