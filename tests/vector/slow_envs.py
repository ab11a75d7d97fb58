"""Environments whose tools wait, each in a way that a test can steer."""

from __future__ import annotations

import threading
import time
from typing import ClassVar

from llm_gym import Task, ToolEnv, Trajectory, tool
from llm_gym.messages import call_text

__all__ = ["GateEnv", "call_wait"]


class GateEnv(ToolEnv):
    """Tools that sleep, meet each other, or wait at a gate that the test opens."""

    blocking = True
    gate: ClassVar[threading.Event] = threading.Event()
    arrived: ClassVar[threading.Event] = threading.Event()
    meeting: ClassVar[threading.Barrier] = threading.Barrier(1)
    closed: ClassVar[list[str]] = []

    @classmethod
    def renew(cls, meeting: int = 1) -> None:
        """Shut the gate, and forget what was."""
        cls.gate, cls.arrived = threading.Event(), threading.Event()
        cls.meeting, cls.closed = threading.Barrier(meeting), []

    def begin(self, task: Task) -> str:
        """Start with an empty log; a task of that name waits at the gate."""
        if task.id == "at the gate":
            self.arrived.set()
            self.gate.wait(10)
        self.state = {"threads": []}
        return "Wait."

    def verify(self, trajectory: Trajectory) -> float:
        """Give full marks."""
        return 1.0

    @tool
    def sleep(self, seconds: float) -> str:
        """Sleep."""
        time.sleep(seconds)
        self.state["threads"].append(threading.current_thread().name)
        return "slept"

    @tool
    def meet(self) -> int:
        """Wait until all others are here."""
        return self.meeting.wait(5)

    @tool
    def wait(self) -> bool:
        """Wait until the gate opens."""
        self.arrived.set()
        return self.gate.wait(10)

    def close(self) -> None:
        """Note that it was closed."""
        self.closed.append(threading.current_thread().name)
        super().close()


def call_wait(seconds: float) -> str:
    """Write a call that sleeps."""
    return call_text("sleep", {"seconds": seconds})
