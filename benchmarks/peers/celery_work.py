"""The six steps as a Celery chain on Redis: workers in processes of their own.

    celery -A celery_work worker ...
    python celery_work.py --latency-seconds 3 ...    # the load; CELERY_REDIS names the broker and the result backend

Runs in the peer's own virtual environment.
"""

import os

if __name__ == "__main__":  # the load: many callers wait for results side by side
    from gevent import monkey

    monkey.patch_all()

from celery import Celery, chain
from load import STEPS, measure_threads, options_of_command_line, tell

_redis = os.environ["CELERY_REDIS"]
app = Celery("celery_work", broker=_redis, backend=_redis)
app.conf.worker_prefetch_multiplier = 64  # "Optimizing" in Celery's guide: 64 or 128 for many short tasks
app.conf.broker_pool_limit = 64  # the same page: as many as use it at once
app.conf.result_backend_thread_safe = True  # one connection for all that wait


@app.task
def step(value: int) -> int:
    """One step."""
    return value + 1


def _run_one() -> object:
    signatures = [step.s(0), *(step.s() for _ in range(STEPS - 1))]
    return chain(*signatures).apply_async().get(timeout=60)


if __name__ == "__main__":
    tell(measure_threads(_run_one, options_of_command_line()))
