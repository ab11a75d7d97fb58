"""`renderers`, an independent writer of the same templates, appends the same ids.

It is not asked where the two mean different things: it renders anew after every message
of the user where a family strips thinking, whether or not there was any.
"""

from __future__ import annotations

from typing import Any

import pytest

from llm_gym.episode import with_reasoning
from llm_gym.messages import ChatRequest, Message, call_text
from llm_gym.replies import read_reply
from llm_gym.tokens import ChatTokens, TokenTrace
from tests.policies.tiny import ADD
from tests.tokens.families import TEMPLATES, tokenizers, trained_tokenizer

renderers = pytest.importorskip("renderers", reason="`renderers` is not installed")

FAMILIES = {
    "qwen3": ("Qwen3RendererConfig", "<|im_end|>"),
    "qwen3_5_think": ("Qwen35RendererConfig", "<|im_end|>"),
    "qwen3_8": ("Qwen38RendererConfig", "<|im_end|>"),
    "llama3_1": ("Llama3RendererConfig", "<|eot_id|>"),
}
# What these families' vocabularies hold besides the marks of their templates.
MORE = ["endoftext", "begin_of_text", "end_of_text", "eom_id", "python_tag"]
TAGS = ["tool_call", "tool_response", "think"]
THOUGHT, CALL = "<think>\nhm\n</think>\n\n", call_text("add", {"a": 1, "b": 2})


def both(name: str) -> tuple[ChatTokens, Any, str]:
    """Return ours, theirs and the text that ends a reply."""
    if name not in TEMPLATES:
        pytest.skip("TRL's templates are not installed")
    config, end = FAMILIES[name]
    tokenizer = trained_tokenizer(TEMPLATES[name], eos_token=end)
    tags = [f"<{slash}{tag}>" for tag in TAGS for slash in ("", "/")]
    words = [f"<|{word}|>" for word in MORE] + tags
    tokenizer.add_tokens([tokenizers.AddedToken(w, special=False) for w in words])
    theirs = renderers.create_renderer(tokenizer, getattr(renderers, config)())
    return ChatTokens(tokenizer, name), theirs, end


@pytest.mark.parametrize(
    ("name", "text", "appended"),
    [
        ("qwen3", CALL, True),
        ("qwen3", THOUGHT + CALL, True),
        ("qwen3", THOUGHT + "It is 4.", False),
        ("qwen3_5_think", THOUGHT + "It is 4.", False),
        ("qwen3_8", THOUGHT + "It is 4.", True),
        ("llama3_1", "It is 4.", True),
    ],
)
def test_both_append_the_same_or_nothing(name: str, text: str, appended: bool) -> None:
    tokens, theirs, end = both(name)
    request: ChatRequest = {"messages": [{"role": "user", "content": "hello there"}]}
    if "<tool_call>" in text:
        request["tools"] = [ADD]
    trace = TokenTrace()
    prompt = tokens.prompt(request, trace)
    if prompt.text.endswith("<think>\n"):
        text = text.removeprefix("<think>\n")
    sampled = tokens.encode(text + end)
    reply = tokens.reply(request, prompt, sampled, trace=trace)
    said = with_reasoning(read_reply(reply, with_tools="tools" in request))
    added: list[Message] = [
        {"role": "tool", "tool_call_id": c["id"], "name": "add", "content": "3"}
        for c in said.get("tool_calls", [])
    ] or [{"role": "user", "content": "and now?"}]
    messages = [*request["messages"], said, *added]
    ours = tokens.prompt({**request, "messages": messages}, trace)
    bridged = theirs.bridge_to_next_turn(prompt.ids, sampled, added)
    assert (ours.added is not None) == appended
    assert (bridged.token_ids if bridged else None) == (ours.ids if appended else None)
