"""A reward fuzzer: hundreds of replies that are no honest work, and what each is paid.

What knows nothing of the answer must be paid nothing, but for luck: a probe that says
the answer by chance is counted on other tasks before it is called a hole. What is made
from the answer and is plainly not it (negated, hedged, cut, misplaced) must not be paid
in full. What a lenient verifier may take for the answer is reported.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from llm_gym.checks._golds import (
    JUNK,
    Gold,
    common_form,
    gold_of,
    same_value,
    solve,
)
from llm_gym.checks._probes import Kind, Probe, Seen, free_probes, wrapped
from llm_gym.checks._probes_gold import gold_probes, rivals
from llm_gym.checks._probes_tools import tool_probes
from llm_gym.checks.episodes import Reply
from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import Failed, Note, shorten
from llm_gym.env import ToolEnv
from llm_gym.tasks import Task

__all__ = ["MOST_SECONDS", "Family", "Fuzzed", "Paid", "check_fuzz", "fuzz"]

MOST_SECONDS = 1.5
"""After which no further task is begun; the first is played in full in any case."""

_CONFIRMING = 24
"""Further tasks on which a probe is played that was paid where luck may have been."""

_LUCKIEST = 0.75
"""Mean payment on them from which on it is no luck. Of two answers that are equally
frequent, one is right on three in four of 24 tasks once in 300 times."""

_ENOUGH = 20
"""Holes after which no more luck is told from holes."""

_FOREIGN, _FOREIGN_IF_SLOW = 5, 2
_SLOW_SECONDS = 0.05
_SLOWEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Paid:
    """What a probe was paid on a task.

    Attributes:
        family: The probe's family.
        probe: Its name.
        kind: Its kind; see `Probe`.
        seed: The episode's.
        task_id: The task's.
        reply: The reply, its middle cut out if it is long.
        value: The score, in [0, 1].
        hole: Whether no honest verifier pays that.
    """

    family: str
    probe: str
    kind: Kind
    seed: int
    task_id: str
    reply: str
    value: float
    hole: bool


@dataclass(frozen=True, slots=True)
class Family:
    """What a family of probes was paid.

    Attributes:
        family: Its name.
        kind: Its kind; see `Probe`.
        probes: How many different probes it has.
        most: The most that one of them was paid.
        probe: Which one, "" if none was paid.
        task_id: On which task.
        holes: On how many occasions one of them was paid that should not have been.
    """

    family: str
    kind: Kind
    probes: int
    most: float
    probe: str
    task_id: str
    holes: int


@dataclass(slots=True)
class Fuzzed:
    """What came of fuzzing an environment.

    Attributes:
        tasks: Tasks on which every probe was played.
        fewest: The fewest probes that a task had.
        episodes: Episodes played in all.
        paid: What was paid, where anything was, in the order of the probes.
        probes: The names of the probes by family and kind.
    """

    tasks: int = 0
    fewest: int = 0
    episodes: int = 0
    paid: list[Paid] = field(default_factory=list)
    probes: dict[tuple[str, Kind], set[str]] = field(default_factory=dict)

    @property
    def holes(self) -> list[Paid]:
        """The payments that no honest verifier makes, the largest first."""
        return sorted((p for p in self.paid if p.hole), key=lambda p: -p.value)

    @property
    def families(self) -> list[Family]:
        """The most that each family was paid."""
        return [self._family(family, kind) for family, kind in self.probes]

    def _family(self, family: str, kind: Kind) -> Family:
        paid = [p for p in self.paid if (p.family, p.kind) == (family, kind)]
        worst = max(paid, key=lambda p: (p.hole, p.value), default=None)
        return Family(
            family=family,
            kind=kind,
            probes=len(self.probes[family, kind]),
            most=max((p.value for p in paid), default=0.0),
            probe=worst.probe if worst else "",
            task_id=worst.task_id if worst else "",
            holes=sum(p.hole for p in paid),
        )

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        return {
            "tasks": self.tasks,
            "probes": self.fewest,
            "episodes": self.episodes,
            "families": [asdict(family) for family in self.families],
            "paid": [asdict(paid) for paid in self.paid],
        }


def check_fuzz(subject: Subject) -> Note:
    """Play every probe, and demand that none is paid that no honest verifier pays."""
    fuzzed = fuzz(subject)
    data = fuzzed.to_json()
    played = f"{fuzzed.fewest} probes on {fuzzed.tasks} tasks"
    holes = fuzzed.holes
    if not holes:
        return Note(f"{played}, {fuzzed.episodes} episodes, no hole", data)
    worst, names = holes[0], {(hole.family, hole.probe) for hole in holes}
    expected = "nothing"
    if worst.kind == "gated":
        expected = "less than the right answer"
    raise Failed(
        f"{len(names)} of {played} were paid for no honest work; the worst: seed "
        f"{worst.seed}, task {worst.task_id!r}: {worst.family}, {worst.probe}: the "
        f"reply {worst.reply} scored {worst.value:g}, expected {expected}",
        data,
    )


def fuzz(subject: Subject, *, seconds: float | None = None) -> Fuzzed:
    """Play every probe on the tasks of the seeds, as many as there is time for.

    Args:
        subject: The environment.
        seconds: After which no further task is begun, `MOST_SECONDS` if None. The
            number of probes does not depend on it.
    """
    return _Fuzzer(subject, MOST_SECONDS if seconds is None else seconds).run()


@dataclass(frozen=True, slots=True)
class _Case:
    """A task, and what the oracle hands in on it."""

    seed: int
    task: Task
    gold: Gold | None
    last: Reply | None
    full: float


class _Fuzzer:
    def __init__(self, subject: Subject, seconds: float) -> None:
        self._subject = subject
        self._env: ToolEnv = subject.make()
        self._until = time.perf_counter() + seconds
        self._cases: dict[int, _Case] = {}
        self._fuzzed = Fuzzed()
        self._confirmed: dict[tuple[str, str], bool] = {}
        self._free: dict[int, dict[tuple[str, str], Reply]] = {}

    def run(self) -> Fuzzed:
        fuzzed = self._fuzzed
        seeds = self._subject.seeds
        for number, seed in enumerate(seeds):
            if number and time.perf_counter() > self._until:
                break
            probes = list(self._probes(seed))
            fuzzed.tasks += 1
            fuzzed.fewest = min(fuzzed.fewest or len(probes), len(probes))
            self._play_all(self._case(seed), probes, first=number == 0)
        self._env.close()
        return fuzzed

    @cached_property
    def _form(self) -> tuple[str, str] | None:
        golds = [self._case(seed).gold for seed in self._others(None)[:3]]
        return common_form([gold for gold in golds if gold is not None])

    def _others(self, seed: int | None) -> list[int]:
        """Return seeds of other tasks, fewer where the oracle takes its time."""
        most = _FOREIGN if self._quick else _FOREIGN_IF_SLOW
        seeds = [*self._subject.seeds[: most + 1]]
        while len(seeds) < _FOREIGN_IF_SLOW + 1:
            seeds.append(max(seeds) + 1)
        return [other for other in seeds if other != seed]

    @cached_property
    def _quick(self) -> bool:
        started = time.perf_counter()
        self._case(self._subject.seeds[0])
        return time.perf_counter() - started < _SLOW_SECONDS

    def _case(self, seed: int) -> _Case:
        if seed not in self._cases:
            self._cases[seed] = self._make_case(seed)
        return self._cases[seed]

    def _make_case(self, seed: int) -> _Case:
        env = self._env
        env.reset(seed=seed)
        task = env.task
        replies = solve(env, _reset(seed, task))
        if replies is None:
            return _Case(seed, task, None, None, 1.0)
        score = env.episode.score
        full = 1.0 if score is None else score.value
        gold = gold_of(replies, task.answer)
        if gold is not None:
            self._go_to(seed, task, gold.work)
            if self._play(gold.reply(gold.form(JUNK))) >= full:
                gold = None  # any text will do: it is the work that is judged
        return _Case(seed, task, gold, replies[-1], full)

    def _probes(self, seed: int) -> Iterator[Probe]:
        """Write the probes for the task of a seed."""
        case, env = self._case(seed), self._env
        request, _ = env.reset(**_reset(seed, case.task))
        seen = Seen.of(request["messages"], self._form)
        yield from self._free_probes(seen)
        yield from tool_probes(env.tool_specs)
        others = [self._case(other) for other in self._others(seed)]
        for other in others:
            if other.last is not None and other.task.id != case.task.id:
                name = f"what is right for the seed {other.seed}"
                yield Probe("another task's answer", name, other.last, "lucky")
        if case.gold is not None:
            foreign = [other.gold.core for other in others if other.gold is not None]
            wrong = rivals(case.gold, seen, foreign)
            specs = env.tool_specs.items()
            tools = {name: spec for name, spec in specs if not spec.ends_episode}
            yield from gold_probes(case.gold, wrong, tools)

    def _play_all(self, case: _Case, probes: Iterable[Probe], *, first: bool) -> None:
        work = case.gold.work if case.gold is not None else ()
        by_work = itertools.groupby(probes, lambda probe: probe.kind in _FROM_GOLD)
        for after, group in by_work:
            self._go_to(case.seed, case.task, work if after else ())
            start = self._env.snapshot()
            for probe in group:
                key = probe.family, probe.kind
                self._fuzzed.probes.setdefault(key, set()).add(probe.name)
                if probe.heavy and not first:
                    continue
                self._env.restore(start)
                self._judge(case, probe, self._watch(case, probe))

    def _go_to(self, seed: int, task: Task, work: Iterable[Reply]) -> None:
        self._env.reset(**_reset(seed, task))
        for reply in work:
            self._env.step(reply)

    def _watch(self, case: _Case, probe: Probe) -> float:
        """Play a probe; what it breaks or holds up is a finding."""
        started = time.perf_counter()
        where = f"seed {case.seed}, task {case.task.id!r}, {probe.family}, {probe.name}"
        try:
            value = self._play(probe.reply, once=probe.heavy)
        except Exception as err:
            told = f"{type(err).__name__}: {str(err)[:300]}"
            raise Failed(
                f"{where}: the reply {shorten(probe.reply)} raised {told}"
            ) from err
        took = time.perf_counter() - started
        if took > _SLOWEST_SECONDS:
            raise Failed(f"{where}: the episode took {took:.1f} s")
        return value

    def _play(self, reply: Reply, *, once: bool = False) -> float:
        """Reply to the end: with a text again and again, after calls with nothing."""
        calls = not isinstance(reply, str) or "<tool_call>" in reply
        env = self._env
        self._fuzzed.episodes += 1
        for _ in range(env.max_turns + 1):
            _, _, terminated, truncated, _ = env.step(reply)
            if terminated or truncated:
                break
            if calls or once:
                reply = ""
        score = env.episode.score
        return 0.0 if score is None else score.value

    def _judge(self, case: _Case, probe: Probe, value: float) -> None:
        if value <= 0.0:
            return
        self._fuzzed.paid.append(
            Paid(
                family=probe.family,
                probe=probe.name,
                kind=probe.kind,
                seed=case.seed,
                task_id=case.task.id,
                reply=shorten(probe.reply),
                value=value,
                hole=self._is_hole(case, probe, value),
            )
        )

    def _is_hole(self, case: _Case, probe: Probe, value: float) -> bool:
        if probe.kind == "told":
            return False
        if probe.kind == "gated":
            return value >= case.full
        if probe.kind == "worthless" and not _says(probe.reply, case.gold):
            return True
        key = probe.family, probe.name
        if key not in self._confirmed:
            self._confirmed[key] = self._is_paid_elsewhere(probe)
        return self._confirmed[key]

    def _is_paid_elsewhere(self, probe: Probe) -> bool:
        """Say whether a probe is paid on other tasks too, more than luck explains."""
        if len(self._fuzzed.holes) >= _ENOUGH:
            return False
        first = max(self._subject.seeds) + 1
        values = []
        for seed in range(first, first + _CONFIRMING):
            self._env.reset(seed=seed)
            case = _Case(seed, self._env.task, None, None, 1.0)
            reply = self._reply_there(probe, case)
            if reply is not None:
                self._env.reset(**_reset(seed, case.task))
                values.append(self._watch(case, replace(probe, reply=reply)))
        everywhere = len(values) == _CONFIRMING and min(values) > 0
        return everywhere or sum(values) >= _LUCKIEST * _CONFIRMING

    def _reply_there(self, probe: Probe, case: _Case) -> Reply | None:
        """Return what a probe is on another task, None if it is nothing there."""
        if probe.family in _SAME_EVERYWHERE:
            return probe.reply
        if case.seed not in self._free:
            request, _ = self._env.reset(**_reset(case.seed, case.task))
            free = self._free_probes(Seen.of(request["messages"], self._form))
            replies = {(other.family, other.name): other.reply for other in free}
            self._free[case.seed] = replies
        return self._free[case.seed].get((probe.family, probe.name))

    def _free_probes(self, seen: Seen) -> list[Probe]:
        free = list(free_probes(seen))
        return [*free, *wrapped(free, seen.form)]


_FROM_GOLD = ("gated", "told")
_SAME_EVERYWHERE = ("tool calls", "another task's answer")


def _reset(seed: int, task: Task) -> dict[str, Any]:
    return {"seed": seed, "options": {"task": task}}  # it is not generated anew


def _says(reply: Reply, gold: Gold | None) -> bool:
    """Say whether a reply is the answer by chance."""
    if gold is None or not isinstance(reply, str):
        return False
    return same_value(reply, gold.core) or same_value(reply, gold.text)
