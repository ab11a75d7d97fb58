"""A real GRPOTrainer whose generation is scripted, and what its loss sees."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

from llm_gym.adapters.trl import TRLSpec
from llm_gym.adapters.trl.outcomes import Outcome
from llm_gym.messages import call_text
from llm_gym.tokens import ChatTokens
from tests.policies.tiny import tiny_model
from tests.sample_envs import VaultEnv
from tests.tokens.families import trained_tokenizer, trl_templates
from tests.tokens.talk import own_words

torch = pytest.importorskip("torch")

PAD = "<|pad|>"
ASKED: Any = {"role": "user", "content": "Open the red vault."}


@cache
def tokenizer_of(family: str, end: str = "") -> Any:
    """Return a tokenizer with a template of TRL's, as its models have it."""
    template = trl_templates()[family]
    end = end or next((mark for mark in ENDS if mark in template), "<|eos|>")
    tokenizer = trained_tokenizer(template, eos_token=end, pad_token=PAD)
    vars(tokenizer).pop("parse_response", None)
    vars(tokenizer).pop("response_schema", None)
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
        rows: What the loss saw.
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
        end: str = "",
        **settings: Any,
    ) -> None:
        trl = pytest.importorskip("trl")
        torch.set_num_threads(1)
        self.tokenizer = tokenizer_of(family, end)
        context = settings.pop("context", 4096)
        model = tiny_model(
            self.tokenizer, initializer_range=0.02, max_position_embeddings=context
        )
        self.folder = tempfile.TemporaryDirectory()
        options = {
            "per_device_train_batch_size": 2 * group,
            "max_completion_length": 200,
            "max_steps": 1,
            "learning_rate": 1e-3,
            **settings,
        }
        args = trl.GRPOConfig(
            output_dir=self.folder.name,
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
        self.outcomes: list[Outcome] = []
        self.rewards: list[float | None] = []
        self._watch()

    def _watch(self) -> None:
        self.trainer._generate_single_turn = self.script
        loss, (reward, *others) = (
            self.trainer._compute_loss,
            self.trainer.reward_funcs,
        )

        def watched_loss(model: Any, inputs: Any) -> Any:
            self.rows += list(rows_of(inputs))
            return loss(model, inputs)

        def episode_return(**kwargs: Any) -> Any:
            self.rewards = reward(**kwargs)
            for i, env in enumerate(kwargs.get("environments") or ()):
                self.outcomes.append(
                    env._settle(kwargs["completions"][i], cut_off=False)
                )
            self.outcomes += kwargs.get("llm_gym_outcome") or ()
            return self.rewards

        self.trainer._compute_loss = watched_loss
        self.trainer.reward_funcs = [episode_return, *others]

    def step(self) -> Stage:
        """Take a step of training, optimiser included."""
        self.trainer.train()
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
            import json

            return call_text(name, json.loads(arguments)) + self.end
        return words

    def say(self, text: str) -> str:
        """Write a plain reply."""
        request: Any = {"messages": [ASKED]}
        message: Any = {"role": "assistant", "content": text}
        return own_words(self.tokens, request, message) or text + self.end

    def vault(self, prompt: str, number: int) -> str:
        """Look the code up, then open the vault; every other one with a wrong code."""
        code = re.findall(r"\b(\d{3,6})\b", prompt)
        colour = re.findall(r"Open the (\w+) vault", prompt)[-1]
        if not code:
            return self.call("lookup", f'{{"colour": "{colour}"}}')
        if "done" in prompt or "over" in prompt:
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
            drawn = next((d for f, d in fed if f == whole[:at] and d == whole[at : at + len(d)]), None)
            assert drawn is not None, "the loss sees what was not fed"
            assert mask[at : at + len(drawn)] == [1] * len(drawn)
            at += len(drawn)
