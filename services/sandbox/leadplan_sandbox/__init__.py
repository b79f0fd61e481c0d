"""Stand-ins for the third-party HTTP APIs that the lead tools call: Google Places (New) and Hunter v2.

For demo and tests only. ``run()`` is the service, ``serving()`` runs it in a thread, ``build_app()`` is the bare
application.
"""

from leadplan_sandbox.app import build_app
from leadplan_sandbox.server import SandboxStartError, run, serving
from leadplan_sandbox.settings import SandboxSettings

__all__ = ["SandboxSettings", "SandboxStartError", "build_app", "run", "serving"]
