"""Disks that fill up: a small file system of its own, or a limit that the server keeps."""

import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

FILLER_STREAM = "FILLER"


@contextlib.contextmanager
def small_file_system(at: Path, megabytes: int) -> Iterator[Path]:
    """A file system in memory of this size; where none may be mounted the test is skipped locally and fails in CI."""
    at.mkdir()
    size = f"size={megabytes}m"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(at)], capture_output=True, check=False)
    if mounted.returncode:
        reason = f"no file system can be mounted: {mounted.stderr.decode().strip()}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


class Hog:
    """A file that takes all the room that a file system has left."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "hog"

    def fill(self) -> None:
        """Leave no room; what others free is taken by calling it again."""
        with contextlib.suppress(OSError), self._path.open("ab", buffering=0) as hog:
            while True:
                hog.write(b"x" * 4096)

    def give_back(self) -> None:
        """Leave all the room again."""
        self._path.unlink()


@contextlib.asynccontextmanager
async def full_store(nc: Client) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Within it a stream takes all that ``max_file`` allows; what is yielded takes what was freed since."""
    js = nc.jetstream()
    await js.add_stream(name=FILLER_STREAM, subjects=["filler"])

    async def fill() -> None:
        for size in (500_000, 20_000, 100):
            # To the last bytes: an event must not fit either.
            with contextlib.suppress(NatsError):
                while True:
                    await js.publish("filler", b"x" * size)

    await fill()
    try:
        yield fill
    finally:
        await js.delete_stream(FILLER_STREAM)
