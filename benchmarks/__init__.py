"""Benchmarks: speed, CPU and memory of the daemon, compared with the floor and with other shippers.

Figures are comparable only within a run on one machine. So reports and targets are ratios.
"""
