"""Functions that may hang, explode or crash, called in processes that can be killed."""

from llm_gym.workers.pool import (
    KillableWorker,
    WorkerCrash,
    WorkerError,
    WorkerTimeout,
)

__all__ = ["KillableWorker", "WorkerCrash", "WorkerError", "WorkerTimeout"]
