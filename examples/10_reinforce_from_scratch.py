"""A whole trainer in plain torch: a tiny model, made here, learns to look things up.

Run: pip install 'llm-gym[transformers]', then examples/10_reinforce_from_scratch.py
"""

import random
import re

import jinja2
import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llm_gym import rollout
from llm_gym.adapters.advantages import grpo
from llm_gym.adapters.groups import Groups
from llm_gym.messages import call_text
from llm_gym.policies import Sampling, ScriptedPolicy, TransformersPolicy

ENV, KWARGS = "llmgym/MultiStep-v0", {"level": 0, "max_turns": 4}
TEMPLATE = """<|tools|>{{ (tools or []) | map(attribute="function.name") | sort \
| join(" ") }}{% for m in messages %}<|{{ m.role }}|>\
{{ m.content or '' }}{% for c in m.tool_calls or [] %}<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments if \
c.function.arguments is string else c.function.arguments | tojson }}}
</tool_call>{% endfor %}<|end|>{% endfor %}\
{% if add_generation_prompt %}<|assistant|>{% endif %}"""
SIGN, NAME = "[A-HJ-NP-Z2-9]", r"\b[A-Z][a-z]+ [A-Z][a-z]+\b"
CODE = rf"\b[A-Z]{SIGN}{{4}}\b"
CUTS = [CODE, f"{SIGN}(?={SIGN}*$)", NAME, "^[A-Z][a-z]+(?= [A-Z][a-z]+$)"]
CUTS += ["^.* the code of ", " [a-z]+ $", r"\b(?:not|the|first|but|second) "]
# Said before a submission. It copies from a fixed distance, and the six words more of
# the second make either code as far back as the other.
SAYS = ["one", "not the first but the second one"]


def call_at_random(request):
    """Look up by any tool, submit either code that was told: the form alone."""
    question, *later = [message["content"] or "" for message in request["messages"]]
    told = re.findall(CODE, " ".join(t for t in later if not t.startswith("Error")))
    if told:
        which = random.randrange(2)
        return SAYS[which] + call_text("submit", {"answer": told[which]})
    tool = random.choice(request["tools"][:-1])["function"]
    (argument,) = tool["parameters"]["properties"]
    return call_text(
        tool["name"], {argument: re.findall(f"{CODE}|{NAME}", question)[0]}
    )


def with_other_codes(text):
    """Put fresh codes in place of a conversation's, each in all its places."""
    signs = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    codes = sorted({*re.findall(CODE, text)})
    fresh = {
        c: random.choice(signs[:24]) + "".join(random.choices(signs, k=4))
        for c in codes
    }
    return re.sub(CODE, lambda found: fresh[found.group()], text)


def make_tokenizer(texts):
    """Make words of the signs of codes and of what stands between codes."""
    cuts = [pre_tokenizers.Split(Regex(cut), "isolated") for cut in CUTS]
    split = pre_tokenizers.Sequence(cuts)
    parts = {part for text in texts for part in re.split(r"(<\|\w+\|>)", text)}
    marks = ["<|pad|>", *sorted(part for part in parts if part.startswith("<|"))]
    words = {word for part in parts for word, _ in split.pre_tokenize_str(part)}
    known = dict.fromkeys([*marks, *sorted(words)])
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(known)}, "<|pad|>"))
    core.pre_tokenizer, core.decoder = split, decoders.Fuse()
    core.add_special_tokens(marks)
    ends = {"pad_token": "<|pad|>", "eos_token": "<|end|>", "chat_template": TEMPLATE}
    return PreTrainedTokenizerFast(tokenizer_object=core, **ends)


def warm_start(seed, steps=200, batch=64):
    """Teach random weights to speak; no reward and no answer is seen."""
    random.seed(seed)
    torch.manual_seed(seed)
    options = {"episodes": 1000, "concurrency": 1, "env_kwargs": KWARGS}
    played = rollout(ENV, ScriptedPolicy(call_at_random), seed=seed, **options)
    template = jinja2.Template(TEMPLATE)
    texts = [template.render(messages=t.messages, tools=t.tools) for t in played]
    tokenizer = make_tokenizer(texts)
    begin = tokenizer.convert_tokens_to_ids("<|assistant|>")
    words = tokenizer.get_vocab().items()
    marks = torch.tensor([place for word, place in words if word.startswith("<|")])
    submissions = [say + call_text("submit", {"answer": "A2345"}) for say in SAYS]
    submits = torch.tensor([ids[0] for ids in tokenizer(submissions).input_ids])
    size = {"hidden_size": 64, "intermediate_size": 128, "vocab_size": len(tokenizer)}
    size |= {"num_hidden_layers": 2, "num_attention_heads": 2}
    near = {"rope_parameters": {"rope_type": "default", "rope_theta": 100.0}}
    model = LlamaForCausalLM(LlamaConfig(tie_word_embeddings=True, **size, **near))
    model.model.embed_tokens.weight.data *= 5  # so copying is learned much sooner
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 5e-3 * min(
            step / 20, 1, 2.5 - 2.5 * step / steps
        )
        options = {"padding": True, "return_tensors": "pt"}
        some = map(with_other_codes, random.sample(texts, batch))
        ids = tokenizer(list(some), **options).input_ids
        marked = torch.isin(ids, marks)
        last = (marked * torch.arange(ids.shape[1])).cummax(1).values  # mark before
        spoken = (ids.gather(1, last) == begin).roll(1, 1)
        after = ids.gather(1, (last + 1).clamp(max=ids.shape[1] - 1)).roll(1, 1)
        weight = (
            1.0 + 5.0 * torch.isin(after, submits)[:, 1:][spoken[:, 1:]]
        )  # rare: more each
        descend(model, optimizer, -(weight * logprobs(model, ids, spoken)).mean())
    return model, tokenizer


def logprobs(model, ids, own, real=None):
    """Return the log-probabilities of the tokens that a mask `(N, T)` marks, `(M,)`."""
    places = None if real is None else (real.cumsum(1) - 1).clamp(min=0)
    hidden = model.model(ids, attention_mask=real, position_ids=places)[0]
    logits, chosen = model.lm_head(hidden[:, :-1][own[:, 1:]]), ids[:, 1:][own[:, 1:]]
    return logits.log_softmax(-1).gather(1, chosen[:, None])[:, 0]


def descend(model, optimizer, loss):
    """Take a step of the optimiser."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def play(model, tokenizer, seed, episodes, group_size=1, split="train"):
    """Return episodes with the tokens that were sampled in them."""
    sampling = Sampling(max_new_tokens=16, seed=seed)
    options = {"tokenizer": tokenizer, "max_batch_size": episodes}
    policy = TransformersPolicy(model, sampling=sampling, **options)
    options = {"episodes": episodes, "concurrency": episodes, "group_size": group_size}
    kwargs = {**KWARGS, "split": split}
    return list(rollout(ENV, policy, seed=seed, env_kwargs=kwargs, **options))


def train(model, tokenizer, seed, steps, on_step, groups=8, size=16, lr=1e-3):
    """Take steps of GRPO, each on episodes of the weights that it changes."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * min(1, (step + 1) / 5)
        played = play(model, tokenizer, 1000 * seed + step, groups * size, size)
        rows = Groups.from_trajectories(played)
        gains, batch = rows.advantages(grpo).values, rows.padded(tokenizer.pad_token_id)
        ids = torch.tensor(np.hstack([batch.prompt_ids, batch.ids]))
        real = torch.tensor(np.hstack([batch.prompt_mask, batch.ids_mask])).long()
        own = torch.tensor(np.hstack([batch.prompt_mask & False, batch.mask]))
        gain = torch.tensor(gains.repeat(batch.mask.sum(1)))  # of each token
        descend(model, optimizer, -(gain * logprobs(model, ids, own, real)).mean())
        on_step(step, float(np.nanmean(rows.rewards)))


def reward(model, tokenizer):
    """Return the mean reward on tasks that are held out."""
    played = play(model, tokenizer, seed=0, episodes=128, split="test")
    return sum(episode.episode_return for episode in played) / len(played)


if __name__ == "__main__":
    torch.set_num_threads(1)  # more are slower for a model this small
    model, tokenizer = warm_start(seed=0)
    print(f"held-out reward before: {reward(model, tokenizer):.2f}")
    train(model, tokenizer, 0, 12, lambda step, mean: print(f"step {step}: {mean:.2f}"))
    print(f"held-out reward after: {reward(model, tokenizer):.2f}")
