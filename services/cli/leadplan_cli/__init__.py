"""The ``leadplan`` command."""
