"""Checking any running responder against the tool protocol (docs/tool-protocol.md).

``checks.run_checks`` gives a list of results and prints nothing, so test suites can use it.
"""
