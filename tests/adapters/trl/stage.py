"""A real GRPOTrainer whose generation is scripted, and what its loss sees."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from llm_gym import rollout
from llm_gym.adapters.trl import TRLSpec
from llm_gym.adapters.trl.outcomes import Outcome
from llm_gym.messages import call_text
from llm_gym.tokens import ChatTokens, Sample
from tests.policies.tiny import tiny_model
from tests.sample_envs import VaultEnv
from tests.tokens.families import trained_tokenizer, trl_templates
from tests.tokens.talk import own_words

torch = pytest.importorskip("torch")
get_json_schema = pytest.importorskip("transformers.utils").get_json_schema
chat_template_utils = pytest.importorskip("trl.chat_template_utils")

PAD = "<|pad|>"
ASKED: Any = {"role": "user", "content": "Open the red vault."}


@cache
def tokenizer_of(family: str) -> Any:
    """Return a tokenizer with a template of TRL's, and TRL's parser of its calls."""
    template = trl_templates()[family]
    end = next((mark for mark in ENDS if mark in template), "<|eos|>")
    tokenizer = trained_tokenizer(template, eos_token=end, pad_token=PAD)
    vars(tokenizer).pop("parse_response", None)
    vars(tokenizer).pop("response_schema", None)
    with contextlib.suppress(ValueError):  # one that TRL cannot read
        chat_template_utils.add_response_schema(tokenizer)
    return tokenizer


ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<turn|>", "<|return|>")


@dataclass(frozen=True, slots=True)
class Row:
    """What the loss sees of a completion."""

    prompt: list[int]
    completion: list[int]
    mask: list[int]
    advantage: float


@dataclass
class Script:
    """Stands in for generation: writes what a function says for each prompt.

    Attributes:
        write: Returns a text, given the prompt's and the row's number in the round.
        fed: The prompts of all rounds, in order.
        drawn: What was answered to each.
    """

    tokenizer: Any
    write: Callable[[str, int], str]
    fed: list[list[int]] = field(default_factory=list)
    drawn: list[list[int]] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)

    def __call__(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, *more: Any, **_: Any
    ) -> tuple[list[list[int]], None]:
        rows = []
        for number, ids in enumerate(prompt_ids):
            text = self.write(self.tokenizer.decode(list(ids)), number)
            rows.append(self.tokenizer(text, add_special_tokens=False)["input_ids"])
            self.fed.append(list(ids))
            self.drawn.append(list(rows[-1]))
        self.rounds.append(len(prompt_ids))
        return rows, None


class Stage:
    """A trainer, its script, and what came of a step.

    Attributes:
        trainer: The real GRPOTrainer.
        script: What generates.
        rows: What the loss saw, in the order of the prompts.
        seen: The same in the order in which the loss saw it.
        outcomes: What the reward function was told.
        rewards: What it returned.
    """

    def __init__(
        self,
        spec: TRLSpec,
        write: Callable[[str, int], str],
        *,
        family: str = "qwen2_5",
        group: int = 2,
        **settings: Any,
    ) -> None:
        trl = pytest.importorskip("trl")
        torch.set_num_threads(1)
        self.tokenizer = tokenizer_of(family)
        context = settings.pop("context", 4096)
        model = settings.pop("model", None) or tiny_model(
            self.tokenizer, initializer_range=0.02, max_position_embeddings=context
        )
        options = {
            "per_device_train_batch_size": 2 * group,
            "max_completion_length": 400,
            "max_steps": 1,
            "learning_rate": 1e-3,
            **settings,
        }
        args = trl.GRPOConfig(
            output_dir=str(Path(tempfile.gettempdir(), "llm_gym-trl")),  # stays empty
            num_generations=group,
            use_cpu=True,
            bf16=False,
            report_to=[],
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
            gradient_checkpointing=False,
            **options,
        )
        self.trainer = trl.GRPOTrainer(
            model=model, args=args, processing_class=self.tokenizer, **spec.kwargs()
        )
        self.script = Script(self.tokenizer, write)
        self.rows: list[Row] = []
        self.seen: list[Row] = []
        self.outcomes: list[Outcome] = []
        self.rewards: list[float | None] = []
        self._watch()

    def _watch(self) -> None:
        self.trainer._generate_single_turn = self.script
        loss, generate = (
            self.trainer._compute_loss,
            self.trainer._generate_and_score_completions,
        )
        reward, *others = self.trainer.reward_funcs

        def watched_batch(inputs: Any) -> Any:
            batch = generate(inputs)
            self.rows += rows_of(batch)
            return batch

        def watched_loss(model: Any, inputs: Any) -> Any:
            self.seen += rows_of(inputs)
            return loss(model, inputs)

        def episode_return(**kwargs: Any) -> Any:
            self.rewards = reward(**kwargs)
            for i, env in enumerate(kwargs.get("environments") or ()):
                self.outcomes.append(
                    env._settle(kwargs["completions"][i], cut_off=False)
                )
            self.outcomes += kwargs.get("llm_gym_outcome") or ()
            return self.rewards

        self.trainer._generate_and_score_completions = watched_batch
        self.trainer._compute_loss = watched_loss
        self.trainer.reward_funcs = [episode_return, *others]

    def step(self) -> Stage:
        """Take a step of training, optimiser included."""
        self.trainer.train()
        assert sorted(self.rows, key=repr) == sorted(self.seen, key=repr)
        return self

    def logged(self, name: str) -> float:
        """Return a metric's last value."""
        found = [row[name] for row in self.trainer.state.log_history if name in row]
        return float(found[-1])


def rows_of(inputs: Any) -> list[Row]:
    """Return the rows of a batch without their padding."""
    rows = []
    shape = inputs["completion_ids"].shape
    masks = inputs.get("tool_mask", torch.ones(shape, dtype=torch.long))
    for i in range(shape[0]):
        prompt = inputs["prompt_ids"][i][inputs["prompt_mask"][i].bool()]
        real = inputs["completion_mask"][i].bool()
        rows.append(
            Row(
                prompt.tolist(),
                inputs["completion_ids"][i][real].tolist(),
                masks[i][real].tolist(),
                float(inputs["advantages"][i]),
            )
        )
    return rows


class Speaker:
    """Writes replies as a template does."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokens = ChatTokens(tokenizer, "speaker")
        self.end = self.tokens.decode([tokenizer.eos_token_id])
        self._tools = [spec.schema() for spec in VaultEnv.tool_specs.values()]

    def call(self, name: str, arguments: str, *, text: str = "") -> str:
        """Write a tool call, with the token that ends the reply."""
        function = {"name": name, "arguments": arguments}
        entry = {"id": "call_0", "type": "function", "function": function}
        message: Any = {"role": "assistant", "content": text, "tool_calls": [entry]}
        request: Any = {"messages": [ASKED], "tools": self._tools}
        words = own_words(self.tokens, request, message)
        if words is None:
            return call_text(name, json.loads(arguments)) + self.end
        return words

    def say(self, text: str) -> str:
        """Write a plain reply."""
        request: Any = {"messages": [ASKED]}
        message: Any = {"role": "assistant", "content": text}
        return own_words(self.tokens, request, message) or text + self.end

    def vault(self, prompt: str, number: int) -> str:
        """Look the code up, then open the vault; every other one with a wrong code."""
        tail = prompt.rpartition("Open the ")[2]
        code = re.findall(r"\b(\d{3,6})\b", tail)
        colour = tail.split()[0]
        if not code:
            return self.call("lookup", f'{{"colour": "{colour}"}}')
        if "done" in tail or "over" in tail:
            return self.say("It is open.")
        right = int(code[-1]) + number % 2
        return self.call("open", f'{{"code": {right}}}')


def rebuilt(rows: Sequence[Row], script: Script) -> None:
    """Check that rows are what was fed and what was drawn, and nothing else."""
    fed = list(zip(script.fed, script.drawn, strict=True))
    for row in rows:
        whole, at = row.prompt + row.completion, len(row.prompt)
        mask = [0] * at + row.mask
        while at < len(whole):
            if mask[at] == 0:
                at += 1
                continue
            rest = whole[at:]
            answers = [d[: len(rest)] for f, d in fed if f == whole[:at]]
            drawn = next((d for d in answers if d == rest[: len(d)]), None)
            assert drawn, "the loss sees what was not fed"
            assert mask[at : at + len(drawn)] == [1] * len(drawn)
            at += len(drawn)


class Again:
    """Says what was drawn before, for prompts that are fed again."""

    name = "again"

    def __init__(self, stage: Stage, row: Row) -> None:
        tokenizer = copy.copy(stage.tokenizer)
        tokenizer.chat_template = stage.trainer.chat_template or tokenizer.chat_template
        ends = stage.trainer.eos_token_ids
        self.tokens = ChatTokens(tokenizer, "again", ends)
        tools = stage.trainer.tools
        self._tools: Any = [get_json_schema(tool) for tool in tools]
        replies = []
        whole, masks = row.prompt + row.completion, [0] * len(row.prompt) + row.mask
        for mask, ids in itertools.groupby(
            zip(whole, masks, strict=True), key=lambda pair: pair[1]
        ):
            if mask:
                replies.append([one for one, _ in ids])
        self._replies = replies

    async def reply(self, request: Any, trace: Any = None) -> Any:
        """Append to the trace what was drawn then."""
        request = {**request, "tools": self._tools}
        prompt = self.tokens.prompt(request, trace)
        return self.tokens.reply(
            request, prompt, self._replies[trace.turns], trace=trace
        )


def traced(stage: Stage, number: int) -> Sample:
    """Return our own trace of an episode of the other path, from the same draws."""
    was = stage.outcomes[number].trajectory
    (record,) = rollout(
        VaultEnv, Again(stage, stage.rows[number]), episodes=1, tasks=[was.task.id]
    )
    assert record.tokens is not None
    (sample,) = record.tokens.to_samples()
    return sample
