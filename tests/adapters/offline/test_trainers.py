"""TRL's own trainers on what was exported: a step each, and what their loss sees."""

from __future__ import annotations

import json

import pytest

from llm_gym import rollout
from llm_gym.adapters.offline import (
    Choice,
    export_dpo,
    export_grpo,
    export_kto,
    export_reward_model,
    export_sft,
    load_rows,
)
from llm_gym.adapters.trl import TRLSpec
from llm_gym.policies import OraclePolicy
from llm_gym.store import read_trajectories
from llm_gym.tokens import ChatTokens
from tests.adapters.offline.stage import VaultPolicy, episodes, write
from tests.adapters.offline.test_nemo_gym import call, message, result, row
from tests.adapters.trl.stage import Speaker, Stage, tokenizer_of
from tests.policies.tiny import tiny_model
from tests.sample_envs import VaultEnv

trl = pytest.importorskip("trl")
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

FAMILY = "qwen2_5"
Sequences = transformers.LlamaForSequenceClassification


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Eight episodes of the vault with their tokens, four of them good."""
    tokenizer = tokenizer_of(FAMILY)
    policy = VaultPolicy(2, ChatTokens(tokenizer, "tiny"), tokenizer.eos_token)
    return write(tmp_path_factory.mktemp("run") / "run.jsonl", episodes(8, 2, policy))


@pytest.fixture(scope="module")
def nemo(tmp_path_factory):
    """Rollout rows of NeMo Gym: good and bad ones of two tasks."""
    rows = [
        row([call(1, q="a"), result(1, "x"), message("You.")], asked=asked)
        for asked in ("Who won?", "Who lost?")
    ]
    rows += [row([message("Me.")], asked="Who won?", reward=0.0)]
    rows += [row([message("Me.")], asked="Who lost?", reward=0.0)]
    path = tmp_path_factory.mktemp("nemo") / "nemo.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a model: DPO and KTO load it a second time, to compare with."""
    folder = tmp_path_factory.mktemp("model")
    tiny_model(tokenizer_of(FAMILY), initializer_range=0.02).save_pretrained(folder)
    return str(folder)


def stepped(kind, path, model, **settings):
    """Take a step of a trainer, and return it with the batches that its loss saw."""
    torch.set_num_threads(1)
    tokenizer = tokenizer_of(FAMILY)
    options = {
        "output_dir": str(path.parent / "trained"),
        "max_steps": 1,
        "max_length": None,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "use_cpu": True,
        "bf16": False,
        "report_to": [],
        "logging_steps": 1,
        "save_strategy": "no",
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        **settings,
    }
    args = getattr(trl, f"{kind}Config")(**options)
    trainer = getattr(trl, f"{kind}Trainer")(
        model=model,
        args=args,
        processing_class=tokenizer,
        train_dataset=load_rows(path),
    )
    batches, loss = [], trainer.compute_loss

    def watched(model, inputs, *args, **kwargs):
        batches.append(inputs)
        return loss(model, inputs, *args, **kwargs)

    trainer.compute_loss = watched
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.train()
    after = trainer.model.parameters()
    assert any((a != b).any() for a, b in zip(after, before, strict=True))
    return trainer, batches


def learned(batches):
    """Return what the loss is taken of in each row, as ids."""
    return [labels[labels != -100].tolist() for b in batches for labels in b["labels"]]


def test_sft_learns_the_replies_alone(run, model, tmp_path):
    out = tmp_path / "out.jsonl"
    export_sft(run, out, Choice(where="success"))
    _, batches = stepped("SFT", out, model, assistant_only_loss=True)
    texts = [tokenizer_of(FAMILY).decode(ids) for ids in learned(batches)]
    assert len(texts) == 4
    for text in texts:
        assert text.count("<tool_call>") == 2
        assert text.count("<|im_end|>") == 2
        assert "<tool_response>" not in text
        assert "vault" not in text


def test_sft_sees_the_tools_and_the_whole_conversation(run, model, tmp_path):
    out = tmp_path / "out.parquet"
    export_sft(run, out, Choice(where="success"), form="messages")
    _, batches = stepped("SFT", out, model, assistant_only_loss=True)
    (batch,) = batches
    seen = tokenizer_of(FAMILY).decode(batch["input_ids"][0])
    shown = [spec.schema() for spec in VaultEnv.tool_specs.values()]
    assert all(json.dumps(tool) in seen for tool in shown)
    assert "<tool_response>" in seen


def test_sft_of_single_replies_needs_no_mask_of_the_template(run, model, tmp_path):
    out = tmp_path / "out.parquet"
    export_sft(run, out, Choice(where="success"), form="turns")
    _, batches = stepped("SFT", out, model, per_device_train_batch_size=8)
    texts = [tokenizer_of(FAMILY).decode(ids) for ids in learned(batches)]
    assert len(texts) == 8
    assert all(text.count("<tool_call>") == 1 for text in texts)
    assert not any("<tool_response>" in text for text in texts)


@pytest.mark.parametrize("form", ["out.jsonl", "out.parquet"])
def test_sft_of_tokens_learns_what_was_sampled_to_the_last_token(
    run, model, tmp_path, form
):
    out = tmp_path / form
    export_sft(run, out, Choice(where="success"), tokens=True)
    _, batches = stepped("SFT", out, model)
    good = [t for t in read_trajectories(run) if t.success]
    segments = [t.tokens.segments[0] for t in good]
    assert sorted(learned(batches)) == sorted(list(s.sampled_ids) for s in segments)
    (batch,) = batches
    fed = [
        ids[mask.bool()].tolist()
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]
    assert sorted(fed) == sorted(list(s.ids) for s in segments)


def test_log_probabilities_stand_beside_the_tokens(run, tmp_path):
    export_sft(run, tmp_path / "out.parquet", tokens=True)
    rows = list(load_rows(tmp_path / "out.parquet"))
    for one, episode in zip(rows, read_trajectories(run), strict=True):
        (sample,) = episode.tokens.to_samples()
        prompt = one["prompt_tokens"]
        assert one["input_ids"][:prompt] == list(sample.prompt_ids)
        assert one["input_ids"][prompt:] == list(sample.completion_ids)
        assert [x != -100 for x in one["labels"][prompt:]] == [*map(bool, sample.mask)]
        assert one["logprobs"][prompt:] == list(sample.logprobs)


def test_dpo_takes_a_step(run, model, tmp_path):
    out = tmp_path / "folder"
    assert export_dpo(run, out).rows == 4
    trainer, _ = stepped("DPO", out, model)
    assert trainer.state.log_history[0]["loss"] == pytest.approx(0.6931, abs=1e-3)


def test_dpo_of_single_replies_takes_a_step(run, model, tmp_path):
    out = tmp_path / "out.parquet"
    assert export_dpo(run, out, form="reply").rows == 4
    _, (batch,) = stepped("DPO", out, model)
    judged = batch["input_ids"][batch["completion_mask"].bool()]
    assert "<tool_response>" not in tokenizer_of(FAMILY).decode(judged)


def test_kto_takes_a_step(run, model, tmp_path):
    out = tmp_path / "out.parquet"
    assert export_kto(run, out).rows == 8
    _, (batch,) = stepped("KTO", out, model)
    assert len(batch["label"]) == 4


@pytest.mark.parametrize("tokens", [False, True])
def test_a_reward_model_takes_a_step(run, tmp_path, tokens):
    out = tmp_path / "out.parquet"
    assert export_reward_model(run, out, tokens=tokens, margins=True).rows == 4
    config = tiny_model(tokenizer_of(FAMILY), num_labels=1).config
    _, (batch,) = stepped("Reward", out, Sequences(config))
    assert batch["margin"].tolist() == [1.0] * 4
    if tokens:
        good = [t.tokens.segments[0].ids for t in read_trajectories(run) if t.success]
        rows = zip(batch["input_ids"][:4], batch["attention_mask"][:4], strict=True)
        fed = [ids[mask.bool()].tolist() for ids, mask in rows]
        assert sorted(fed) == sorted(map(list, good))


@pytest.mark.parametrize("path", ["environment", "rollout"])
def test_prompts_start_the_environments_of_grpo(tmp_path, path):
    env, out = "llmgym/MultiStep-v0", tmp_path / "out.parquet"
    played = list(rollout(env, OraclePolicy(), episodes=2))
    export_grpo(
        write(tmp_path / "run.jsonl", played), out, in_message=path == "rollout"
    )
    spec = TRLSpec(env, path=path, prompts=2)
    vars(spec)["train_dataset"] = load_rows(out)
    say = Speaker(tokenizer_of(FAMILY)).say
    stage = Stage(spec, lambda prompt, number: say("I know not.")).step()
    tasks = {outcome.trajectory.task.id for outcome in stage.outcomes}
    assert tasks == {episode.task.id for episode in played}


def test_rows_of_nemo_gym_train_all_four(nemo, model, tmp_path):
    good, pairs, labels = (tmp_path / f"{n}.jsonl" for n in ("sft", "dpo", "kto"))
    assert export_sft(nemo, good, Choice(where="reward == 1")).rows == 2
    assert export_dpo(nemo, pairs).rows == 2
    assert export_kto(nemo, labels).rows == 4
    stepped("SFT", good, model, assistant_only_loss=True)
    stepped("DPO", pairs, model)
    stepped("KTO", labels, model)
    config = tiny_model(tokenizer_of(FAMILY), num_labels=1).config
    stepped("Reward", pairs, Sequences(config))
