"""A whole trainer in plain torch: a tiny model, made here, learns to look things up.

Run: pip install 'llm-gym[transformers]', then examples/10_reinforce_from_scratch.py
"""

import re

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llm_gym import rollout
from llm_gym.adapters.advantages import grpo
from llm_gym.adapters.groups import Groups
from llm_gym.messages import Reply, call_text
from llm_gym.policies import Sampling, TransformersPolicy

ENV, KWARGS = "llmgym/MultiStep-v0", {"level": 0, "max_turns": 4}
PAD, END, BEGIN, MARK = "<|pad|>", "<|end|>", "<|assistant|>", r"<\|\w+\|>"
TEMPLATE = """{% if tools %}<|tools|>{% endif %}{% for m in messages %}<|{{ m.role }}|>\
{{ m.content or '' }}{% for c in m.tool_calls or [] %}<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %}<|end|>{% endfor %}\
{% if add_generation_prompt %}<|assistant|>{% endif %}"""
SIGN, NAME = "[A-HJ-NP-Z2-9]", r"\b[A-Z][a-z]+ [A-Z][a-z]+\b"
CODE = rf"\b[A-Z]{SIGN}{{4}}\b"
CUTS = (CODE, f"{SIGN}(?={SIGN}*$)", NAME, "^[A-Z][a-z]+(?= [A-Z][a-z]+$)",
        "^.* the code of ", " [a-z]+ $")  # fmt: skip


class RandomCaller:
    """Calls any tool with anything that was said: it shows the form of calls alone."""

    def __init__(self, seed):
        self.chance = np.random.default_rng(seed)

    async def reply(self, request, trace=None):
        said = " ".join(m["content"] or "" for m in request["messages"])
        codes, names = re.findall(CODE, said), re.findall(NAME, said)
        *looks, submit = (tool["function"] for tool in request["tools"])
        late = len(request["messages"]) > 1 and self.chance.random() < 0.6
        tool = submit if late else self.chance.choice(looks)
        (argument,) = tool["parameters"]["properties"]
        by_name = names and (argument == "name" or not codes)
        term = str(self.chance.choice(names if by_name else codes))
        return Reply(call_text(tool["name"], {argument: term}))


def make_tokenizer(texts):
    """Make words of the signs of codes and of what stands between them."""
    cuts = [pre_tokenizers.Split(Regex(cut), "isolated") for cut in CUTS]
    split = pre_tokenizers.Sequence(cuts)
    parts = {part for text in texts for part in re.split(MARK, text)}
    words = {word for part in parts for word, _ in split.pre_tokenize_str(part)}
    marks = sorted({mark for text in texts for mark in re.findall(MARK, text)})
    known = enumerate([PAD, *marks, *sorted(words)])
    core = Tokenizer(models.WordLevel({word: i for i, word in known}, PAD))
    core.pre_tokenizer, core.decoder = split, decoders.Fuse()
    core.add_special_tokens([PAD, *marks])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, chat_template=TEMPLATE, pad_token=PAD, eos_token=END
    )


def written(message):
    text = f"<|{message['role']}|>{message['content'] or ''}"
    for call in (call["function"] for call in message.get("tool_calls") or ()):
        what = f'{{"name": "{call["name"]}", "arguments": {call["arguments"]}}}'
        text += f"<tool_call>\n{what}\n</tool_call>"
    return text + END


def warm_start(seed, steps=150, batch=64):
    """Teach random weights to speak; no reward and no answer is seen."""
    chance, _ = np.random.default_rng(seed), torch.manual_seed(seed)
    played = rollout(ENV, RandomCaller(seed), episodes=1000, concurrency=1,
                     seed=seed, env_kwargs=KWARGS)  # fmt: skip
    texts = ["<|tools|>" + "".join(map(written, e.messages)) for e in played]
    tokenizer = make_tokenizer(texts)
    model = LlamaForCausalLM(
        LlamaConfig(len(tokenizer), 64, 128, 2, 2, max_position_embeddings=512,
                    tie_word_embeddings=True, eos_token_id=tokenizer.eos_token_id)
    )  # fmt: skip
    model.model.embed_tokens.weight.data *= 5  # so copying is learned much sooner
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 5e-3 * min(step / 20, 1.02 - step / steps)
        some = [texts[i] for i in chance.integers(len(texts), size=batch)]
        ids = tokenizer(some, padding=True, return_tensors="pt").input_ids
        marked = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
        last = (marked * torch.arange(ids.shape[1])).cummax(1).values  # mark before
        begun = ids.gather(1, last) == tokenizer.convert_tokens_to_ids(BEGIN)
        descend(model, optimizer, -logprobs(model, ids, begun.roll(1, 1)).mean())
    return model, tokenizer


def logprobs(model, ids, own, real=None):
    """Return the log-probabilities of the tokens that a mask `(N, T)` marks, `(M,)`."""
    places = None if real is None else (real.cumsum(1) - 1).clamp(min=0)
    hidden = model.model(ids, attention_mask=real, position_ids=places)[0]
    logits, chosen = model.lm_head(hidden[:, :-1][own[:, 1:]]), ids[:, 1:][own[:, 1:]]
    return logits.log_softmax(-1).gather(1, chosen[:, None])[:, 0]


def descend(model, optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def play(model, tokenizer, seed, episodes, group_size=1, split="train"):
    """Return episodes with the tokens that were sampled in them."""
    policy = TransformersPolicy(model, tokenizer=tokenizer, max_batch_size=episodes,
                                sampling=Sampling(max_new_tokens=16, seed=seed))  # fmt: skip
    return list(rollout(ENV, policy, episodes=episodes, group_size=group_size, seed=seed,
                        concurrency=episodes, env_kwargs={**KWARGS, "split": split}))  # fmt: skip


def train(model, tokenizer, seed, steps, on_step, groups=8, group_size=8, lr=2e-3):
    """Take steps of GRPO, each on episodes of the weights that it changes."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * min(1, (step + 1) / 5)
        played = play(model, tokenizer, 1000 * seed + step, groups * group_size, group_size)
        rows = Groups.from_trajectories(played)
        gains, batch = rows.advantages(grpo).values, rows.padded(tokenizer.pad_token_id)
        ids = torch.tensor(np.hstack([batch.prompt_ids, batch.ids]))
        real = torch.tensor(np.hstack([batch.prompt_mask, batch.ids_mask])).long()
        own = torch.tensor(np.hstack([batch.prompt_mask & False, batch.mask]))
        gain = torch.tensor(gains[:, None] * batch.mask)[batch.mask].float()
        descend(model, optimizer, -(gain * logprobs(model, ids, own, real)).mean())
        on_step(step, float(np.nanmean(rows.rewards)))


def reward(model, tokenizer):
    """Return the mean reward on tasks that are held out."""
    return np.mean([e.episode_return for e in play(model, tokenizer, 0, 128, 1, "test")])


if __name__ == "__main__":
    torch.set_num_threads(1)  # more are slower for a model this small
    model, tokenizer = warm_start(seed=0)
    print(f"held-out reward before: {reward(model, tokenizer):.2f}")
    train(model, tokenizer, 0, 40, lambda step, mean: print(f"step {step}: {mean:.2f}"))
    print(f"held-out reward after: {reward(model, tokenizer):.2f}")
