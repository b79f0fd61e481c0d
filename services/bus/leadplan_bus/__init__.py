"""How leadplan uses NATS: connection, streams, reading a plan's log, claim check, micro services and discovery.

Executor, responders, client and command line share this package. It decides nothing about plans.
"""
