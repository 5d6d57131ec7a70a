"""What people who build the machine are handed: the folder of ``pulsarray generate``."""
