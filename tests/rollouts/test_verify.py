"""Records are executed and rendered again; what was changed in one is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any

import gymnasium as gym
import pytest

from llm_gym import LLMGymError, StopReason, Task, ToolEnv, Trajectory, rollout
from llm_gym.messages import call_text
from llm_gym.policies.scripted import ScriptedPolicy
from llm_gym.rollouts.rerender import Difference
from llm_gym.rollouts.verify import verify
from llm_gym.tokens import ChatTokens
from llm_gym.tokens.trace import TokenRecord
from llm_gym.wrappers import TurnLimit
from tests.policies.tiny import END, HERMES, PLAIN, tiny_tokenizer
from tests.sample_envs import AskEnv, KitEnv, VaultEnv
from tests.tokens.speaking import SpeakingPolicy

LOOKS = call_text("lookup", {"colour": "red"})
ROLLS = call_text("roll", {})
OPENS = call_text("open", {"code": 7})


@cache
def tokens_of(template: str) -> ChatTokens:
    return ChatTokens(tiny_tokenizer(template), "tiny")


def recorded(
    *texts: str, template: str = HERMES, env: Any = VaultEnv, seed: int = 3
) -> Trajectory:
    """Return the record of an episode in which these texts were said."""
    policy = SpeakingPolicy(tokens_of(template), texts, END)
    (record,) = rollout(env, policy, episodes=1, seed=seed)
    return record


@pytest.fixture(scope="module")
def vault() -> Trajectory:
    return recorded(f"I look.{LOOKS}", ROLLS, "<tool_call>{oops", LOOKS + ROLLS, OPENS)


def whats(differences: Iterable[Difference], *, warnings: bool = False) -> list[str]:
    return [d.what for d in differences if warnings or not d.warning]


def resealed(record: Trajectory) -> Trajectory:
    """Return a changed record with hashes that fit it, as a careful forger would."""
    return record.with_tokens(record.tokens) if record.tokens else record


def with_turn(record: Trajectory, number: int, **changes: Any) -> Trajectory:
    turns = list(record.turns)
    turns[number] = replace(turns[number], **changes)
    return resealed(replace(record, turns=tuple(turns)))


def with_ids(
    record: Trajectory, change: Callable[[list[int]], None], segment: int = 0
) -> Trajectory:
    assert record.tokens is not None
    segments = list(record.tokens.segments)
    ids = list(segments[segment].ids)
    change(ids)
    segments[segment] = replace(segments[segment], ids=tuple(ids))
    return record.with_tokens(replace(record.tokens, segments=tuple(segments)))


def test_true_record_has_no_differences(vault: Trajectory) -> None:
    assert [c.status for c in vault.calls][2] == "invalid"
    assert verify(vault, tokens_of(HERMES)) == []
    assert verify(Trajectory.from_json(vault.to_json()), tokens_of(HERMES)) == []


@pytest.mark.parametrize("template", [PLAIN, HERMES])
def test_cut_off_reply_is_verified(template: str) -> None:
    record = recorded(ROLLS, f"I look.{LOOKS}...", template=template)
    assert record.stop_reason is StopReason.REPLY_LENGTH
    assert verify(record, tokens_of(template)) == []


def test_changed_reward_is_named(vault: Trajectory) -> None:
    (found,) = verify(with_turn(vault, 1, reward=0.5))
    assert (found.what, found.where) == ("reward", "turn 1")
    assert (found.recorded, found.found) == ("0.5", "0.0")
    assert str(found) == "reward, turn 1: recorded 0.5, found 0.0"


def test_changed_message_is_named(vault: Trajectory) -> None:
    (added,) = vault.turns[1].added
    changed = with_turn(vault, 1, added=({**added, "content": "9"},))
    (found,) = verify(changed)
    assert (found.what, found.where) == ("message", "turn 1, message 0")
    assert found.recorded == '{"content":"9"}'
    assert found.found == json.dumps({"content": added["content"]}).replace(" ", "")


def test_changed_call_result_is_named(vault: Trajectory) -> None:
    (call,) = vault.turns[1].calls
    (found,) = verify(with_turn(vault, 1, calls=(replace(call, result="9"),)))
    assert (found.what, found.where) == ("call", "turn 1, call 0")
    assert '"result":"9"' in found.recorded


def test_left_out_call_is_named(vault: Trajectory) -> None:
    calls = vault.turns[3].calls[:1]
    (found,) = verify(with_turn(vault, 3, added=vault.turns[3].added[:1], calls=calls))
    assert found.what == "reply"  # the message holds two
    assert found.warning


def test_other_seed_is_named(vault: Trajectory) -> None:
    found = verify(resealed(replace(vault, seed=vault.seed + 1)))
    assert whats(found, warnings=True)[0] == "seed"
    assert "message" in whats(found) or "call" in whats(found)  # the die fell otherwise


def test_changed_prompt_is_named(vault: Trajectory) -> None:
    changed = ({**vault.prompt[0], "content": "Use nothing."}, *vault.prompt[1:])
    (found,) = verify(replace(vault, prompt=changed))
    assert (found.what, found.where) == ("prompt", "message 0")
    assert "nothing" in found.recorded


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"stop_reason": StopReason.ANSWER}, "stop reason"),
        ({"outcome": {"opened": 8}}, "outcome"),
        ({"tools": ()}, "tools"),
    ],
)
def test_changed_end_is_named(
    vault: Trajectory, changes: dict[str, Any], what: str
) -> None:
    assert whats(verify(replace(vault, **changes))) == [what]


def test_changed_score_is_named(vault: Trajectory) -> None:
    assert vault.score is not None
    better = replace(vault.score, value=1.0)
    (found,) = verify(replace(vault, score=better))
    assert (found.what, found.recorded) == ("score", '{"value":1.0}')


def test_changed_task_is_named(vault: Trajectory) -> None:
    task = Task(**{**vault.task.to_json(), "answer": {"code": 7}})
    found = verify(replace(vault, task=task))
    assert whats(found) == ["reward"]  # with that answer the last call is right


def test_code_that_changed_is_a_warning(vault: Trajectory) -> None:
    (found,) = verify(replace(vault, env_hash="0" * 64))
    assert (found.what, found.where, found.warning) == ("environment", "its code", True)
    assert found.recorded == "0" * 12


def test_episode_that_goes_on_after_its_recorded_end_is_named(
    vault: Trajectory,
) -> None:
    turns = vault.turns[:2]
    found = verify(replace(vault, turns=turns))
    assert "stop reason" in whats(found, warnings=True)
    longer = (*vault.turns, vault.turns[0])
    assert whats(verify(replace(vault, turns=longer))) == ["stop reason"]


def test_task_that_was_asked_for_is_verified_with_a_warning() -> None:
    env = AskEnv()
    env.reset(seed=1, options={"task": Task(id="mine", prompt="x")})
    env.step("bye")
    found = verify(env.trajectory)
    assert whats(found, warnings=True) == ["seed"]
    assert not whats(found)


def test_fault_is_executed_up_to_where_it_came() -> None:
    (record,) = rollout(
        VaultEnv, ScriptedPolicy([LOOKS, call_text("crash", {})]), episodes=1, retries=0
    )
    assert record.fault is not None
    (found,) = verify(record)
    assert (found.what, found.where) == ("episode", "after turn 0")
    assert found.warning
    assert "kaput" in found.recorded
    assert whats(verify(with_turn(record, 0, reward=1.0))) == ["reward"]


def test_fault_before_the_episode_began_is_reported() -> None:
    env = VaultEnv()
    env.forget(seed=0)
    (found,) = verify(env.trajectory)
    assert (found.what, found.found) == ("episode", "nothing to execute")
    assert found.warning


class BrittleEnv(VaultEnv):
    """Breaks when it is told to, which no record knows of."""

    broken = ""

    def begin(self, task: Task) -> Any:
        """Break, or begin."""
        if self.broken == "begin":
            raise OSError("no disk")
        return super().begin(task)

    def outcome(self) -> dict[str, Any]:
        """Break, or tell."""
        if self.broken == "outcome":
            raise OSError("no disk")
        return super().outcome()


@pytest.mark.parametrize("where", ["begin", "outcome"])
def test_environment_that_breaks_now_is_a_difference(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = recorded(OPENS, env=BrittleEnv)
    monkeypatch.setattr(BrittleEnv, "broken", where)
    (found,) = verify(record)
    assert found.what == "fault"
    assert "no disk" in found.found


@pytest.mark.parametrize(
    "env_id",
    [
        "llmgym/Absent-v0",
        "tests.sample_envs:Absent",
        "no_module:Env",
        "json:JSONDecoder",
    ],
)
def test_environment_that_cannot_be_made_is_a_clear_error(
    vault: Trajectory, env_id: str
) -> None:
    with pytest.raises(LLMGymError, match=r"cannot be made|is not an environment"):
        verify(replace(vault, env_id=env_id))


def test_arguments_that_were_no_json_are_verified_as_they_were_read() -> None:
    call = {"id": "a", "function": {"name": "free", "arguments": '{"value": }'}}
    again = {"id": "b", "function": {"name": "free", "arguments": "[]"}}
    env = KitEnv()
    env.reset(seed=0)
    env.step({"role": "assistant", "content": "x", "tool_calls": [call, again]})
    env.step("<tool_call>{nothing</tool_call> and " + call_text("free", {"value": 1}))
    assert verify(replace(env.trajectory, stop_reason=None)) == []


def test_reply_that_cannot_be_given_again_is_reported() -> None:
    env = KitEnv()
    env.reset(seed=0)
    env.step({"role": "assistant", "content": "", "tool_calls": [{"id": "a"}]})
    (found,) = verify(env.trajectory)
    assert (found.what, found.found, found.warning) == ("reply", "not executed", True)


def test_end_from_outside_is_a_warning() -> None:
    env = VaultEnv()
    env.reset(seed=0)
    env.step(LOOKS)
    env.end(StopReason.MAX_SECONDS)
    found = verify(env.trajectory)
    assert whats(found, warnings=True) == ["stop reason"]
    assert not whats(found)


def test_changed_prompt_token_is_named(vault: Trajectory) -> None:
    def change(ids: list[int]) -> None:
        ids[5] = 70

    (found,) = verify(with_ids(vault, change), tokens_of(HERMES))
    assert (found.what, found.where) == ("token", "segment 0, token 5")
    assert found.recorded.startswith("70 (")
    assert found.recorded != found.found


def test_changed_token_between_replies_is_named(vault: Trajectory) -> None:
    assert vault.tokens is not None
    place = vault.tokens.segments[0].spans[1].start - 3

    def change(ids: list[int]) -> None:
        ids[place] += 1

    (found,) = verify(with_ids(vault, change), tokens_of(HERMES))
    assert (found.what, found.where) == ("token", f"segment 0, token {place}")


def test_changed_sampled_token_is_named() -> None:
    record = recorded("how do you do", "bye", env=AskEnv, template=PLAIN)
    assert record.tokens is not None
    place = record.tokens.segments[0].spans[0].start + 2

    def change(ids: list[int]) -> None:
        ids[place] = 70

    (found,) = verify(with_ids(record, change), tokens_of(PLAIN))
    assert (found.what, found.where) == ("token", f"segment 0, token {place}")
    assert found.found.startswith("70 (")


def test_changed_token_of_a_call_names_the_reply(vault: Trajectory) -> None:
    assert vault.tokens is not None
    span = vault.tokens.segments[0].spans[0]

    def change(ids: list[int]) -> None:
        ids[span.end - 8] += 1

    (found,) = verify(with_ids(vault, change), tokens_of(HERMES))
    assert found.what == "reply"
    assert found.where == f"segment 0, tokens {span.start} to {span.end - 1}"


def test_changed_template_is_named(vault: Trajectory) -> None:
    other = tokens_of(HERMES.replace("<tool_response>", "<result>"))
    template, token = verify(vault, other)
    assert (template.what, token.what) == ("template", "token")
    assert token.recorded != token.found


def test_changed_tokenizer_is_named(vault: Trajectory) -> None:
    other = ChatTokens(tiny_tokenizer(HERMES, unk_token="<unk>"), "other")
    assert whats(verify(vault, other))[0] == "tokenizer"


def test_segments_that_should_be_one_are_named() -> None:
    record = recorded("hello", "bye", env=AskEnv, template=PLAIN)
    (segment,) = record.tokens.segments if record.tokens else ()
    first, second = segment.spans
    parts = (
        replace(segment, ids=segment.ids[: first.end], spans=(first,), logprobs=None),
        replace(segment, spans=(second,), logprobs=None),
    )
    changed = record.with_tokens(TokenRecord(parts, ("",), *_hashes(record)))
    (found,) = verify(changed, tokens_of(PLAIN))
    assert (found.what, found.recorded) == ("segment", "a new segment")


def _hashes(record: Trajectory) -> tuple[str, str]:
    assert record.tokens is not None
    return record.tokens.tokenizer_hash, record.tokens.template_hash


def test_reply_without_tokens_is_named(vault: Trajectory) -> None:
    assert vault.tokens is not None
    (segment,) = vault.tokens.segments
    short = replace(segment, spans=segment.spans[:-1], logprobs=None)
    changed = vault.with_tokens(replace(vault.tokens, segments=(short,)))
    (found,) = verify(changed, tokens_of(HERMES))
    assert (found.what, found.where, found.recorded) == ("token", "turn 4", "no tokens")


def test_tokens_of_more_turns_than_there_are_are_named() -> None:
    record = recorded("hello", "bye", env=AskEnv, template=PLAIN)
    short = resealed(replace(record, turns=record.turns[:1], stop_reason=None))
    found = verify(short, tokens_of(PLAIN))
    assert [d.found for d in found if d.what == "token"] == ["no such turn"]


def test_prompt_that_a_template_refuses_is_named(vault: Trajectory) -> None:
    refusing = HERMES + "{{ messages[3] and raise_exception('too long') }}"
    found = verify(vault, tokens_of(refusing))
    assert "too long" in found[-1].found


def test_stop_token_that_the_engine_knew_is_found_in_the_record() -> None:
    tokenizer = tiny_tokenizer(PLAIN)
    call = tokenizer.convert_tokens_to_ids("<|call|>")
    engine = ChatTokens(tokenizer, "tiny", [call])
    policy = SpeakingPolicy(engine, ["hello", "bye"], "<|call|>")
    (record,) = rollout(AskEnv, policy, episodes=1)
    assert record.tokens is not None
    assert len(record.tokens.segments) == 2  # the template ends replies otherwise
    assert verify(record, ChatTokens(tiny_tokenizer(PLAIN), "tiny")) == []


def test_verify_closes_what_it_makes(
    vault: Trajectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[ToolEnv] = []
    monkeypatch.setattr(VaultEnv, "close", lambda env: closed.append(env))
    verify(vault)
    assert len(closed) == 1


def test_an_episode_under_wrappers_is_not_called_true():
    hello = ScriptedPolicy(["hi"])
    wrapped = lambda: TurnLimit(gym.make("llmgym/SingleTool-v0"), 3)  # noqa: E731
    (record,) = rollout(wrapped, hello, episodes=1)
    (difference,) = verify(record)
    assert "run under TurnLimit" in str(difference)
    assert not difference.warning
