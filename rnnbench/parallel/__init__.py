"""Devices and processes: the mesh with its shardings, the hosts and their ends."""
