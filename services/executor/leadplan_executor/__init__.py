"""The executor: runs plans from ``plans.execute`` step by step and keeps their state as a log of events.

``core`` decides and does no I/O; everything else here carries out what it decided.
"""
