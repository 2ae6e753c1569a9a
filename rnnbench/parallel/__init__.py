"""Devices and processes: the mesh with its shardings, the processes of a run, and signals."""
