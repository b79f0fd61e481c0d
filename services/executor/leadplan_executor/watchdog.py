"""The end of a process whose event loop is stuck: one that computes for ever is no use to anybody, and isn't seen.

The timer counts the processor time of this process and is wound up at each turn of the event loop. So a process that is
frozen, or waits for a busy machine, isn't ended; one that computes without end is, by the kernel, whatever it is doing.
Before that it prints where it was.
"""

import asyncio
import faulthandler
import signal

_WINDINGS = 5


async def end_when_stuck(limit_seconds: float) -> None:
    """End this process by SIGPROF once it has computed for so long without a turn of the event loop.

    Runs until cancelled. There can be only one in a process.
    """
    # The default action of the signal is the end; chained, it follows the traceback.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    faulthandler.register(signal.SIGPROF, all_threads=True, chain=True)
    try:
        while True:
            signal.setitimer(signal.ITIMER_PROF, limit_seconds)
            await asyncio.sleep(limit_seconds / _WINDINGS)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.unregister(signal.SIGPROF)
