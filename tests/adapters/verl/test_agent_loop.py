from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from verl.experimental.agent_loop import agent_loop as loops

from llm_gym import rollout
from llm_gym.adapters.verl.local import TransformersServer
from llm_gym.adapters.verl.rows import RowError
from llm_gym.adapters.verl.spec import EpisodeSpec
from llm_gym.errors import EnvironmentFault
from llm_gym.messages import call_text
from llm_gym.policies import TransformersPolicy
from llm_gym.policies.sampling import Sampling
from tests.adapters.verl.harness import (
    HAS_V1,
    Bench,
    advantages_of,
    advantages_of_v1,
    loss_of,
)
from tests.adapters.verl.speaking import (
    FORGETFUL,
    RICH,
    VAULT,
    Asked,
    ScriptedServer,
    open_vault,
    vault_tokenizer,
)
from tests.policies.tiny import tiny_model

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def model(tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tokenizer = vault_tokenizer()
    tokenizer.save_pretrained(folder)
    tiny_model(tokenizer, max_position_embeddings=8192).save_pretrained(folder)
    return folder


@pytest.fixture
def make(model: Path, tmp_path: Path) -> Any:
    """Return what makes a bench for a script."""

    def made(say: Any = open_vault, env: Any = VAULT, *overrides: str, **options: Any):
        server = ScriptedServer(vault_tokenizer(), say)
        bench = Bench(model, tmp_path, env, server, overrides, **options)
        return bench, server

    return made


def expected(asked: list[Asked]) -> tuple[list[int], list[int], list[float]]:
    """Return what a server read and sampled in an episode: ids, mask, logprobs."""
    ids = asked[-1].prompt_ids + asked[-1].sampled_ids
    mask, logprobs = [0] * len(ids), [0.0] * len(ids)
    for one in asked:
        start = len(one.prompt_ids)
        assert ids[:start] == one.prompt_ids  # each prompt only appended
        for place, (i, told) in enumerate(
            zip(one.sampled_ids, one.logprobs, strict=True), start
        ):
            assert ids[place] == i
            mask[place], logprobs[place] = 1, told
    return ids, mask, logprobs


def found(batch: Any, row: int) -> tuple[list[int], list[int], list[float]]:
    """Return a row of a batch without its padding."""
    tensors = {name: batch.batch[name][row] for name in batch.batch.keys()}  # noqa: SIM118  # a TensorDict
    kept = tensors["attention_mask"].bool()
    ids = tensors["input_ids"][kept].tolist()
    width = len(tensors["responses"])
    mask = torch.zeros_like(tensors["attention_mask"])
    mask[-width:] = tensors["response_mask"]
    logprobs = torch.zeros(len(mask))
    logprobs[-width:] = tensors["rollout_log_probs"]
    return ids, mask[kept].tolist(), logprobs[kept].tolist()


def episodes_of(server: ScriptedServer) -> list[list[Asked]]:
    """Return the requests of each episode, in order of the episodes' first."""
    episodes: dict[str, list[Asked]] = {}
    for asked in server.asked:
        episodes.setdefault(asked.request_id, []).append(asked)
    return list(episodes.values())


def same(one: Any, other: Any) -> bool:
    return one[:2] == other[:2] and one[2] == pytest.approx(other[2])


def test_batch_is_what_the_server_read_and_sampled(make: Any) -> None:
    bench, server = make()
    batch = bench.play(0, 1, group_size=2)
    episodes = episodes_of(server)
    assert [len(asked) for asked in episodes] == [2, 2, 2, 2]
    for row, asked in enumerate(episodes):
        assert same(found(batch, row), expected(asked))
    assert batch.batch["rm_scores"].sum(dim=-1).tolist() == [1.0] * 4


def test_batch_is_the_trace_of_a_rollout(model: Path, tmp_path: Path) -> None:
    tokenizer = vault_tokenizer()
    tiny = tiny_model(tokenizer, max_position_embeddings=8192)
    bench = Bench(
        *(model, tmp_path, VAULT, TransformersServer(tiny, tokenizer, seed=3)),
        agent_options={"max_reply_tokens": 24},
        train=3,
    )
    batch = bench.play(0, 1, 2)
    sampling = Sampling(max_new_tokens=24, seed=3)
    policy = TransformersPolicy(tiny, tokenizer=tokenizer, sampling=sampling)
    records = sorted(
        rollout(VAULT, policy, episodes=3), key=lambda record: record.run.episode
    )
    for row, record in enumerate(records):
        (segment,) = record.tokens.segments
        told = iter(segment.logprobs)
        logprobs = [next(told) if one else 0.0 for one in segment.mask]
        trace = (list(segment.ids), list(segment.mask), logprobs)
        assert same(found(batch, row), trace)
        assert batch.non_tensor_batch["task_id"][row] == record.task.id
        assert batch.non_tensor_batch["digest"][row] == record.digest


def test_prompt_longer_than_its_part_is_whole(make: Any) -> None:
    bench, server = make(open_vault, VAULT, "data.max_prompt_length=100")
    batch = bench.play(0)
    assert batch.batch["prompts"].shape[1] == 100
    assert same(found(batch, 0), expected(server.asked))


def test_episode_fields_stand_beside_the_tokens(make: Any) -> None:
    bench, _ = make(agent_options={"parts": ["opened"]})
    batch = bench.play(0)
    told = {name: values[0] for name, values in batch.non_tensor_batch.items()}
    assert told["success"] == told["opened"] == 1.0
    assert told["fault"] == told["truncated"] == told["dropped_turns"] == 0.0
    assert told["stop_reason"] == "tool"
    assert told["turn_scores"] == [0.0, 1.0]
    assert told["__num_turns__"] == 5  # user, call, result, call, result
    assert batch.meta_info["metrics"][0]["num_preempted"] == 2


MIXTURE = {VAULT: 1.0, "llmgym/SingleTool-v0": 1.0}


def test_rows_of_a_mixture_have_the_same_keys(make: Any) -> None:
    options = {"parts": ["opened"]}  # which the one has and the other does not
    bench, _ = make(open_vault, MIXTURE, train=8, agent_options=options)
    told = bench.play(*range(8)).non_tensor_batch
    assert set(told["data_source"]) == set(MIXTURE)
    of_vault = told["data_source"] == VAULT
    assert set(told["opened"][of_vault]) == {1.0}
    assert np.isnan(told["opened"][~of_vault]).all()


def test_scores_of_all_rows_are_in_the_batch(make: Any) -> None:
    bench, _ = make(open_vault, MIXTURE, train=8)  # VeRL drops all if one is missing
    batch = bench.play(*range(8))
    rewards = batch.batch["rm_scores"].sum(dim=-1)
    assert rewards.tolist() == batch.non_tensor_batch["success"].tolist()


def test_data_set_returns_the_arguments_of_each_environment(make: Any) -> None:
    kwargs = {VAULT: {"max_turns": 3}, "llmgym/SingleTool-v0": {"level": 1}}
    bench, _ = make(open_vault, MIXTURE, train=8, env_kwargs=kwargs)
    specs = [
        EpisodeSpec.from_json(row["extra_info"]["llm_gym"])
        for row in bench.rows(*range(8))
    ]
    assert {spec.env: spec.env_kwargs for spec in specs} == kwargs


def test_row_without_an_agent_name_is_played_all_the_same(make: Any) -> None:
    bench, _ = make()
    batch = bench.play(0, agent_name=None)
    assert batch.batch["rm_scores"].sum() == 1.0


def test_loop_is_found_by_its_file_alone(make: Any, monkeypatch: Any) -> None:
    bench, _ = make(agent_options={"max_reply_tokens": 7})
    monkeypatch.delitem(loops._agent_loop_registry, "llm_gym")  # as in VeRL 0.8
    bench.worker = loops.AgentLoopWorker(bench.config, bench.worker.llm_client)
    batch = bench.play(0)
    assert batch.batch["response_mask"].sum() == 7


def test_logprobs_are_left_out_where_verl_wants_none(make: Any) -> None:
    off = "actor_rollout_ref.rollout.calculate_log_probs=False"
    bench, _ = make(open_vault, VAULT, off)
    batch = bench.play(0)
    assert "rollout_log_probs" not in batch.batch.keys()  # noqa: SIM118  # a TensorDict


# Advantages and the loss.


def mixed(text: str, number: int) -> str:
    """Open the vault in every second episode; else say no at once."""
    if "<tool_response>" in text or number % 3 == 0:
        return open_vault(text, number)
    return "no"


def test_grpo_and_the_loss_see_our_mask_and_rewards(make: Any) -> None:
    bench, _ = make(mixed)
    batch = bench.play(0, group_size=4)
    rewards = batch.batch["rm_scores"].sum(dim=-1)
    assert set(rewards.tolist()) == {0.0, 1.0}
    advantages = advantages_of(bench, batch)
    mask = batch.batch["response_mask"].bool()
    wanted = (rewards - rewards.mean()) / (rewards.std() + 1e-6)
    for row in range(4):
        assert torch.allclose(advantages[row][mask[row]], wanted[row])
        assert not advantages[row][~mask[row]].any()
    logprobs = batch.batch["rollout_log_probs"].clone().requires_grad_()
    loss_of(bench, batch, logprobs).backward()
    assert torch.equal(logprobs.grad != 0, mask)


# Faults.


def crash_once(text: str, number: int) -> str:
    return call_text("crash", {}) if number == 0 else open_vault(text, number)


def test_fault_is_played_again(make: Any) -> None:
    bench, server = make(crash_once)
    batch = bench.play(0)
    assert batch.batch["rm_scores"].sum() == 1.0
    assert same(found(batch, 0), expected(server.asked[1:]))


class OneBreaks(ScriptedServer):
    """Of the episodes that begin one after the other, the third one always breaks."""

    async def generate(self, request_id: str, **told: Any) -> Any:
        known = vars(self).setdefault("known", {})
        number = known.setdefault(request_id, len(known))
        crash = number >= 4 or number == 2  # the third, and its second attempt
        plans = [open_vault, lambda text, _: "no", None, open_vault]
        self.say = (lambda text, _: call_text("crash", {})) if crash else plans[number]
        return await super().generate(request_id, **told)


@pytest.fixture
def broken(model: Path, tmp_path: Path) -> Bench:
    """Return a bench in which one of four members has no result."""
    server = OneBreaks(vault_tokenizer(), open_vault)
    return Bench(model, tmp_path, VAULT, server)


def first_advantages(batch: Any, advantages: Any) -> Any:
    """Return each row's advantage, `(B,)`; 0 where nothing was sampled."""
    first = batch.batch["response_mask"].argmax(dim=-1, keepdim=True)
    return advantages.gather(-1, first).squeeze(-1)


def test_fault_does_not_count_in_its_group(broken: Bench) -> None:
    batch = broken.play(0, group_size=4)
    fault = torch.tensor(batch.non_tensor_batch["fault"]).bool()
    assert fault.sum() == 1
    assert not batch.batch["response_mask"][fault].any()
    rewards = batch.batch["rm_scores"].sum(dim=-1)[~fault]
    assert sorted(rewards.tolist()) == [0.0, 1.0, 1.0]
    found = first_advantages(batch, advantages_of(broken, batch))
    wanted = (rewards - rewards.mean()) / (rewards.std() + 1e-6)
    assert torch.allclose(found[~fault], wanted)


def test_verls_own_grpo_would_count_a_fault_as_zero(broken: Bench) -> None:
    batch = broken.play(0, group_size=4)
    found = first_advantages(batch, advantages_of(broken, batch, "grpo"))
    counted = torch.tensor([0.0, 0.0, 1.0, 1.0])  # why `llmgym_grpo` is asked for
    best = (1.0 - counted.mean()) / (counted.std() + 1e-6)
    assert torch.allclose(found.max(), best)


def test_fault_has_no_part_in_the_loss(broken: Bench) -> None:
    batch = broken.play(0, group_size=4)
    fault = torch.tensor(batch.non_tensor_batch["fault"]).bool()
    batch.batch["advantages"] = advantages_of(broken, batch)
    logprobs = batch.batch["rollout_log_probs"].clone().requires_grad_()
    loss_of(broken, batch, logprobs).backward()
    assert not logprobs.grad[fault].any()
    assert all(row.any() for row in logprobs.grad[~fault])


def always_crash(text: str, number: int) -> str:
    return call_text("crash", {})


def test_estimators_that_would_count_a_fault_are_refused(make: Any) -> None:
    bench, _ = make(open_vault, VAULT, "algorithm.adv_estimator=grpo")
    with pytest.raises(ValueError, match=r"`algorithm\.adv_estimator` must be one of"):
        bench.play(0)


def test_fault_may_end_the_run(make: Any) -> None:
    options = {"on_fault": "raise", "retries": 0}
    bench, server = make(
        *(always_crash, VAULT, "algorithm.adv_estimator=grpo"), agent_options=options
    )
    with pytest.raises(EnvironmentFault, match="kaput"):
        bench.play(0)
    assert len(server.asked) == 1


def test_fault_in_a_measurement_is_no_number(make: Any) -> None:
    bench, _ = make(always_crash)
    output = bench.run(val=True)
    assert output.reward_score != output.reward_score  # NaN
    assert bench.run().reward_score == 0.0


def test_newer_trainer_is_told_of_a_fault(make: Any) -> None:
    bench, _ = make(always_crash)
    with pytest.raises(EnvironmentFault, match="kaput"):
        bench.run(session_id=0)


# Several segments.


def three_turns(text: str, number: int) -> str:
    return call_text("roll", {}) if number < 2 else "that is all"


def test_last_segment_stands_for_the_episode(make: Any) -> None:
    bench, server = make(three_turns, FORGETFUL)
    batch = bench.play(0)
    assert len(server.asked) == 3
    assert same(found(batch, 0), expected(server.asked[2:]))
    assert batch.non_tensor_batch["dropped_turns"].tolist() == [2.0]


def test_newer_trainer_gets_all_segments(make: Any) -> None:
    bench, server = make(three_turns, FORGETFUL)
    outputs = bench.run(session_id=0)
    ids = [output.prompt_ids + output.response_ids for output in outputs]
    assert ids[-1] == expected(server.asked[2:])[0]
    sampled = [sum(output.response_mask) for output in outputs]
    assert sum(sampled) == sum(len(asked.sampled_ids) for asked in server.asked)
    assert {output.reward_score for output in outputs} == {0.0}
    for output in outputs:
        assert output.extra_fields["reward_extra_info"]["dropped_turns"] == 0.0
        assert output.as_dict()["rm_scores"].sum() == 0.0


def open_late(text: str, number: int) -> str:
    """Roll first, which is forgotten when the vault is opened."""
    if number == 0:
        return call_text("roll", {})
    seen = text.partition("<tool_response>")[0] if number == 1 else text
    return open_vault(seen, number)


@pytest.mark.skipif(not HAS_V1, reason="VeRL 0.9 and TransferQueue are not installed")
def test_newer_trainer_gives_every_segment_its_episodes_advantage(make: Any) -> None:
    bench, server = make(open_late, FORGETFUL)
    sessions = [bench.run(session_id=0)]
    server.say = lambda text, number: "no"
    sessions.append(bench.run(session_id=1))
    assert [len(outputs) for outputs in sessions] == [2, 1]
    advantages, mask = advantages_of_v1(sessions)
    half = 0.5 / (0.5**0.5 + 1e-6)  # by the deviation of 1 and 0
    wanted = torch.tensor([half, half, -half])[:, None] * mask
    assert torch.allclose(advantages, wanted)


def test_newer_trainer_gets_the_last_segment_if_asked(make: Any) -> None:
    bench, _ = make(three_turns, FORGETFUL, agent_options={"segments": "last"})
    assert len(bench.run(session_id=0)) == 1


# What cannot work is refused.


def test_row_of_another_data_set_is_refused(make: Any) -> None:
    bench, _ = make()
    with pytest.raises(ValueError, match="must be the JSON of an episode"):
        bench.run(extra_info={"index": 0})


def test_row_whose_task_is_drawn_no_more_is_refused(make: Any) -> None:
    bench, _ = make()
    (row,) = bench.rows(0)
    spec = row["extra_info"]["llm_gym"].replace('"task_id":"', '"task_id":"other')
    with pytest.raises(ValueError, match="export the data again"):
        bench.run(extra_info={"llm_gym": spec})


def test_reward_that_float32_cannot_hold_is_refused(make: Any) -> None:
    bench, _ = make(lambda text, number: "give me all", RICH)
    with pytest.raises(RowError, match=r"float32 can hold, came 1e\+39"):
        bench.play(0)


@pytest.mark.parametrize("name", ["success", "uid", "data_source", "turn_scores"])
def test_parts_may_not_take_the_place_of_a_column(make: Any, name: str) -> None:
    bench, _ = make(agent_options={"parts": [name]})
    with pytest.raises(ValueError, match=f"holds already: \\['{name}'\\]"):
        bench.play(0)


def test_prompt_without_room_is_refused(make: Any) -> None:
    lengths = ("data.max_prompt_length=10", "data.max_response_length=20")
    bench, server = make(open_vault, VAULT, *lengths)
    with pytest.raises(ValueError, match=r"leaves no room in 10 \+ 20"):
        bench.run()
    assert server.asked == []


def test_missing_logprobs_are_a_fault(make: Any) -> None:
    bench, server = make()
    generate = server.generate

    async def silent(*args: Any, **kwargs: Any) -> Any:
        output = await generate(*args, **kwargs)
        output.log_probs = None
        return output

    server.generate = silent
    with pytest.raises(EnvironmentFault, match="returned none for"):
        bench.run(session_id=0)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"on_fault": "zero"}, "`on_fault` must be one of .*, not 'zero'"),
        ({"segments": "first"}, "`segments` must be one of .*, not 'first'"),
        ({"limits": {"reply": 0}}, "`reply` must be above 0"),
    ],
)
def test_unknown_options_are_refused(
    make: Any, options: dict[str, Any], problem: str
) -> None:
    bench, _ = make(agent_options=options)
    with pytest.raises(Exception, match=problem):  # Hydra wraps what a loop raises
        bench.run()
