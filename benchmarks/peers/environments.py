"""A virtual environment for each peer, made when it is needed and kept for the next run."""

import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
CACHE = _ROOT / ".bench-peers"
"""Everything that is installed for the peers; safe to delete."""

_REQUIREMENTS = Path(__file__).parent / "requirements"
_RESTATE_SERVER = "@restatedev/restate-server@1.7.12"
_INSTALL_SECONDS = 300
# A registry that hangs is asked again after 20 s instead of npm's five minutes.
_NPM_OPTIONS = ("--no-audit", "--no-fund", "--fetch-timeout=20000", "--fetch-retries=5")


class PeerMissingError(Exception):
    """A peer, or the server that it needs, can't be had here; the text says why."""


def python_of(peer: str) -> Path:
    """The Python of a peer's environment, with what `requirements/<peer>.txt` names.

    Raises:
        PeerMissingError: it can't be installed.
    """
    requirements = _REQUIREMENTS / f"{peer}.txt"
    folder = CACHE / peer

    def install() -> None:
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
        _run([*pip, "--quiet", "--requirement", str(requirements)], "pip")

    _once(folder, requirements.read_text(), install)
    return folder / "bin" / "python"


def restate_server() -> Path:
    """The server's program, from its npm package.

    Raises:
        PeerMissingError: there is no npm, or the package can't be installed.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise PeerMissingError("its server comes as an npm package, and there is no npm (Debian: apt-get install npm)")
    folder = CACHE / "restate-server"

    def install() -> None:
        folder.mkdir(exist_ok=True)
        _run([npm, "install", "--prefix", str(folder), *_NPM_OPTIONS, _RESTATE_SERVER], "npm")

    _once(folder, _RESTATE_SERVER, install)
    return folder / "node_modules" / ".bin" / "restate-server"


def redis_server() -> Path:
    """The program.

    Raises:
        PeerMissingError: it isn't installed.
    """
    found = shutil.which("redis-server")
    if found is None:
        raise PeerMissingError("there is no redis-server (Debian: apt-get install redis-server)")
    return Path(found)


def postgres_programs() -> Path:
    """The folder with `initdb` and `postgres`, of the newest version.

    Raises:
        PeerMissingError: there is none.
    """
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).resolve().parent
    # Debian puts the server's programs on nobody's PATH.
    versions = sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not versions:
        raise PeerMissingError("there is no PostgreSQL server (Debian: apt-get install postgresql)")
    return versions[-1].parent


def _once(folder: Path, wanted: str, install: Callable[[], None]) -> None:
    """Install into a folder unless it holds what is wanted."""
    stamp = folder / ".installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    sys.stderr.write(f"Installing {folder.name} ...\n")
    CACHE.mkdir(exist_ok=True)
    install()
    stamp.write_text(wanted)


def _run(command: list[str], installer: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)  # noqa: S603 - an installer, with our own arguments
    except subprocess.TimeoutExpired:
        raise PeerMissingError(f"{installer} took more than {_INSTALL_SECONDS} s") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if "error" in line.lower()] or ["it said nothing"]
        raise PeerMissingError(f"{installer} can't install it: {said[-1][:200]}")
