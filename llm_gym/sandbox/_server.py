"""The loop of a zygote: starts jobs, watches their limits, tells how they ended.

A job is a run, an interpreter, or a session: a fork of the zygote that owns one
directory and serves runs and interpreters in it by this same loop. Standard library
only.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from dataclasses import dataclass
from typing import Any

from llm_gym.sandbox import _child, watch
from llm_gym.sandbox._child import Zygote, prepare
from llm_gym.sandbox.trees import remove_tree

__all__ = ["Server", "prepare"]

_FIRST_LOOK = 0.02
_LOOK_EVERY = 0.02
_QUIET_EVERY = 1.0
_SET_UP_SECONDS = 1.0
"""How long a child may take to be set up before a limit is held against the machine."""
_MOST_FDS = 8


@dataclass(slots=True)
class Job:
    """One child and what is known of it."""

    pid: int
    pidfd: int
    link: socket.socket
    started_fd: int
    request: dict[str, Any]
    directory: str = ""
    began: float = 0.0
    next_look: float = 0.0
    wall_deadline: float = 0.0
    cpu_deadline: float = 0.0
    killed: str = ""
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    awake_until: float = 0.0
    said: bytes = b""

    def is_started(self) -> bool:
        """Whether the child is set up, so that what happens is the program's doing."""
        if not self.said:
            with contextlib.suppress(BlockingIOError):
                self.said = os.read(self.started_fd, 4096)
        return self.said == b"+"

    @property
    def kind(self) -> str:
        """What it is: "run", "interpreter" or "session"."""
        return str(self.request["kind"])


class Server:
    """Serves the jobs of one zygote until its host is gone.

    Args:
        control: Where jobs come from.
        zygote: What `prepare` made.
    """

    def __init__(self, control: socket.socket, zygote: Zygote) -> None:
        self.control = control
        self.zygote = zygote
        zygote.serve = lambda control, its: Server(control, its).serve()
        self.jobs: dict[int, Job] = {}  # by the descriptors of link and pidfd
        self.poller = select.poll()
        self.poller.register(control.fileno(), select.POLLIN)
        if zygote.parent_fd >= 0:
            self.poller.register(zygote.parent_fd, select.POLLIN)

    def serve(self) -> None:
        """Run until the host closes its end or ends; nothing is then left."""
        while True:
            for fd, events in self.poller.poll(self._patience()):
                if fd == self.zygote.parent_fd:
                    return self._leave()
                if fd == self.control.fileno():
                    if not self._take_job():
                        return self._leave()
                elif fd in self.jobs:
                    self._hear(self.jobs[fd], fd, events)
            self._look_after()

    def _patience(self) -> float | None:
        looks = [job.next_look for job in set_of(self.jobs) if job.next_look]
        if not looks:
            return None
        return max(0.0, (min(looks) - time.monotonic()) * 1000) + 0.5

    def _leave(self) -> None:
        for job in set_of(self.jobs):
            self._kill(job, "host")
        for job in set_of(self.jobs):
            with contextlib.suppress(OSError):
                os.waitpid(job.pid, 0)
        with contextlib.suppress(OSError):
            remove_tree(self.zygote.directory)

    def _take_job(self) -> bool:
        try:
            text, fds, _, _ = socket.recv_fds(self.control, 65536, _MOST_FDS)
        except OSError:
            return False
        if not text:
            return False
        self._start(json.loads(text), fds)
        return True

    def _start(self, request: dict[str, Any], fds: list[int]) -> None:
        link = socket.socket(fileno=fds[0])
        started_fd, tell_fd = os.pipe()
        os.set_blocking(started_fd, False)
        directory = ""
        try:
            directory = self.zygote.new_directory()
            pid = _child.fork(self.zygote, request, fds, tell_fd, directory)
        except OSError as error:
            _reply(link, {"fault": f"no process could be started: {error}"})
            remove_tree(directory)
            _close(started_fd, tell_fd, *fds[1:])
            link.close()
            return
        _close(tell_fd, *fds[1:])
        job = Job(pid, os.pidfd_open(pid), link, started_fd, request, directory)
        job.began = time.monotonic()
        if job.kind == "interpreter":
            _reply(link, {"pid": pid})
        if job.kind == "run":
            job.wall_deadline = job.began + request["wall_seconds"]
            job.cpu_deadline = request["cpu_seconds"]
            job.next_look = job.began + min(_FIRST_LOOK, request["wall_seconds"])
        for fd in (job.pidfd, link.fileno()):
            self.jobs[fd] = job
            self.poller.register(fd, select.POLLIN)

    def _hear(self, job: Job, fd: int, events: int) -> None:
        if fd == job.pidfd:
            self._finish(job)
            return
        try:
            text = job.link.recv(4096, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            text = b""
        if not text:
            self.poller.unregister(fd)
            self._kill(job, "host")
            return
        self._obey(job, json.loads(text))

    def _obey(self, job: Job, order: dict[str, Any]) -> None:
        """Do what the host says of a job: end it, or watch one call of it."""
        now = time.monotonic()
        if "kill" in order:
            self._kill(job, order["kill"])
        elif "busy" in order:
            job.wall_deadline = now + order["wall_seconds"]
            spent = self._usage(job).cpu_seconds
            job.cpu_deadline = spent + order["cpu_seconds"]
            job.request["memory_bytes"] = order["memory_bytes"]
            job.next_look = now
        elif "awake" in order:
            spent = self._usage(job).cpu_seconds
            job.wall_deadline = 0.0
            job.cpu_deadline = spent + order["cpu_seconds"]
            job.awake_until = now + _QUIET_EVERY
            job.next_look = now + _QUIET_EVERY

    def _usage(self, job: Job) -> watch.Usage:
        many = self.zygote.tier != "landlock"
        return watch.usage(self.zygote.proc_fd, job.pid, descendants=many)

    def _look_after(self) -> None:
        now = time.monotonic()
        for job in set_of(self.jobs):
            if job.next_look and now >= job.next_look:
                self._look(job, now)

    def _look(self, job: Job, now: float) -> None:
        """Compare what a job uses with its limits."""
        used = self._usage(job)
        job.cpu_seconds = max(job.cpu_seconds, used.cpu_seconds)
        job.peak_bytes = max(job.peak_bytes, used.memory_bytes)
        limits = job.request
        if not job.is_started() and now < job.began + _SET_UP_SECONDS:
            job.next_look = now + _LOOK_EVERY
            return  # what is used and how long it takes is not the program's doing yet
        over = {
            "wall": bool(job.wall_deadline) and now >= job.wall_deadline,
            "cpu": bool(job.cpu_deadline) and used.cpu_seconds >= job.cpu_deadline,
            "memory": used.memory_bytes
            > limits["memory_bytes"] + self.zygote.base_private,
            "processes": used.processes > limits["processes"] + 1,
            "disk": self._is_over_disk(job),
        }
        for reason, is_over in over.items():
            if is_over and not job.killed:
                self._kill(job, reason)
        if job.wall_deadline:
            job.next_look = min(now + _LOOK_EVERY, max(job.wall_deadline, now + 0.001))
        elif used.processes > 1:  # an interpreter that left something running
            job.next_look = now + _LOOK_EVERY * 5
        else:
            job.next_look = 0.0 if now >= job.awake_until else job.awake_until

    def _is_over_disk(self, job: Job) -> bool:
        directory = job.directory or self.zygote.shared
        if job.kind == "session":
            return False  # it watches its own jobs
        if self.zygote.tier == "ns" or not directory:
            return False  # its file system has that size
        size, entries = watch.disk_use(directory, job.request["files"] + 2)
        size += watch.open_deleted_bytes(self.zygote.proc_fd, job.pid)
        limits = job.request
        most: int = limits["disk_bytes"] + limits["spare_bytes"] + 16384
        return size > most or entries > limits["files"] + 2

    def _room_bytes(self, job: Job) -> int:
        """Return what the host's disk has left, where it is what a run writes on."""
        directory = job.directory or self.zygote.shared
        if self.zygote.tier == "ns" or not directory:
            return 2**62
        found = os.statvfs(directory)
        return found.f_bavail * found.f_frsize

    def _kill(self, job: Job, reason: str) -> None:
        job.killed = job.killed or reason
        with contextlib.suppress(ProcessLookupError):
            if self.zygote.tier == "unsafe":  # it leads a group, if it set that up
                os.killpg(job.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(job.pid, signal.SIGKILL)

    def _finish(self, job: Job) -> None:
        """Reap a job, remove what it left, and tell the host."""
        if self.zygote.tier == "unsafe":
            self._kill(job, job.killed)
        _, status, used = os.wait4(job.pid, 0)
        wall = time.monotonic() - job.began
        for fd in (job.pidfd, job.link.fileno()):
            self.jobs.pop(fd, None)
            with contextlib.suppress(KeyError):
                self.poller.unregister(fd)
        fault = ""
        if not job.is_started():
            fault = (
                job.said.decode("utf-8", "replace") or "it ended while it was set up"
            )
        _close(job.pidfd, job.started_fd)
        room = self._room_bytes(job)
        with contextlib.suppress(OSError):
            remove_tree(job.directory)
        cpu = used.ru_utime + used.ru_stime
        answer = {
            "fault": fault,
            "status": status,
            "killed": job.killed,
            "cpu_seconds": max(cpu, job.cpu_seconds),
            "wall_seconds": wall,
            "room_bytes": room,
            "peak_bytes": max(used.ru_maxrss * 1024, job.peak_bytes),
        }
        _reply(job.link, answer)
        job.link.close()


def set_of(jobs: dict[int, Job]) -> list[Job]:
    """Return each job once."""
    return [job for fd, job in jobs.items() if fd == job.pidfd]


def _reply(link: socket.socket, answer: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the host no longer wants to know
        link.send(json.dumps(answer).encode(), socket.MSG_DONTWAIT)


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)
