"""Speed, CPU and memory of the real daemon, beside the floor and the peers, in one run.

A figure means something beside another one of the same run on the same machine: what is reported,
and held against a target, are ratios.
"""
