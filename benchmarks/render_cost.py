"""What it costs to render and tokenise a turn, as the episode grows.

`ChatTokens` renders what a turn adds; beside it what most do: the chat template and
the tokenizer over the whole conversation, again at each turn. CPU time of one thread,
medians over episodes; each turn is a call of a tool, its result and the next prompt.

Run: python benchmarks/render_cost.py
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tabulate import tabulate

from llm_gym.messages import ChatRequest, Message, ToolSchema, call_text
from llm_gym.replies import read_reply
from llm_gym.tokens import ChatTokens, TokenTrace
from llm_gym.tokens.loading import neutral_tokenizer

EPISODES = 15
TURNS = 101
EARLY, LATE = 5, 100
LIMIT = 1.5

OURS = """\
{% for t in tools or [] %}{% if loop.first %}<|im_start|>system
{% endif %}{{ t | tojson }}
{% if loop.last %}<|im_end|>
{% endif %}{% endfor %}{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}{% for c in m.tool_calls or [] %}
<tool_call>{"name": "{{ c.function.name }}", \
"arguments": {{ c.function.arguments | tojson }}}</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

SEARCH: ToolSchema = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Search the documents.",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string"}},
            "required": ["query"],
        },
    },
}
RESULT = "A paragraph of a document that speaks of what was asked for. " * 8

Turn = Callable[[ChatRequest], Any]


def templates() -> Iterator[tuple[str, str]]:
    """Yield templates by name: one of ours, and Qwen2.5's where TRL is installed."""
    yield "ours", OURS
    spec = importlib.util.find_spec("trl")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "chat_templates" / "qwen2_5.jinja"
        yield f"Qwen2.5 (trl {version('trl')})", path.read_text(encoding="utf-8")


def by_continuation(tokens: ChatTokens) -> tuple[Turn, Turn]:
    """Return what is timed before and after a reply, for `ChatTokens`."""
    trace = TokenTrace()
    sampled = tokens.encode(call_text("search", {"query": "x"}) + "<|im_end|>")
    logprobs = [-1.0] * len(sampled)
    prompts: list[Any] = []

    def before(request: ChatRequest) -> None:
        prompts[:] = [tokens.prompt(request, trace)]

    def after(request: ChatRequest) -> Any:
        (prompt,) = prompts
        return tokens.reply(request, prompt, sampled, logprobs=logprobs, trace=trace)

    return before, after


def by_rendering_all(tokens: ChatTokens) -> tuple[Turn, Turn]:
    """Return the same for the whole conversation at each turn."""
    text = call_text("search", {"query": "x"})

    def before(request: ChatRequest) -> None:
        tokens.encode(tokens.template.render(request))

    return before, lambda request: text


def seconds_of_turns(parts: tuple[Turn, Turn]) -> list[float]:
    """Play one episode and return the CPU seconds of each of its turns."""
    before, after = parts
    messages: list[Message] = [{"role": "user", "content": "Find it."}]
    spent = []
    for turn in range(TURNS):
        request: ChatRequest = {"messages": list(messages), "tools": [SEARCH]}
        began = time.thread_time()
        before(request)
        reply = after(request)
        spent.append(time.thread_time() - began)
        read = read_reply(reply, turn=turn)
        messages.append(read.message)
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": RESULT}
            for call in read.calls
        ]
    return spent


def median_turn(make: Callable[[], tuple[Turn, Turn]]) -> Callable[[int], float]:
    """Return the median milliseconds of a turn by its number, over episodes.

    The turns beside it are counted in, as a single one takes less than the clock shows.
    """
    episodes = [seconds_of_turns(make()) for _ in range(EPISODES)]

    def at(turn: int) -> float:
        near = range(max(1, turn - 2), min(TURNS, turn + 3))
        return 1e3 * statistics.median(one[i] for one in episodes for i in near)

    return at


def main() -> None:
    """Print the table."""
    rows = []
    for name, text in templates():
        tokens = ChatTokens(neutral_tokenizer(text), name)
        for kind, make in (
            ("appended (llm_gym)", by_continuation),
            ("rendered anew", by_rendering_all),
        ):
            at = median_turn(lambda make=make, tokens=tokens: make(tokens))
            early, late = at(EARLY), at(LATE)
            verdict = "yes" if late <= LIMIT * early else "no"
            rows.append((name, kind, early, late, late / early, verdict))
    header = (
        "template",
        "way",
        f"turn {EARLY}, ms",
        f"turn {LATE}, ms",
        "ratio",
        f"<= {LIMIT}",
    )
    print(f"transformers {version('transformers')}, CPU time of one thread")
    print(tabulate(rows, header, "rounded_outline", floatfmt=".2f"))


if __name__ == "__main__":
    main()
