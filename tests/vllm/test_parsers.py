"""vLLM's tool parsers behind a tokenizer."""

from typing import Any

import pytest

from llm_gym.policies.vllm.parsers import ParsingTokenizer
from llm_gym.replies import read_reply
from llm_gym.tokens.chat_tokens import ChatTokens
from llm_gym.tokens.trace import TokenTrace
from tests.policies.tiny import ADD, END, HERMES, ask, tiny_tokenizer

CALL = '<tool_call>{"name": "add", "arguments": {"a": 2, "b": 3}}</tool_call>'


@pytest.fixture(scope="module")
def hermes() -> Any:
    return ParsingTokenizer(tiny_tokenizer(HERMES), "hermes")


def test_call_is_read_by_the_parser(hermes: Any) -> None:
    message = hermes.parse_response(f"I add. {CALL}{END}", tools=[ADD])
    (call,) = read_reply(message).calls
    assert (call.name, call.arguments) == ("add", {"a": 2, "b": 3})
    assert message["content"] == "I add. "


def test_ids_of_calls_are_not_random(hermes: Any) -> None:
    first = hermes.parse_response(CALL + CALL + END, tools=[ADD])
    assert hermes.parse_response(CALL + CALL + END, tools=[ADD]) == first
    ids = [call.id for call in read_reply(first, turn=3).calls]
    assert len(set(ids)) == 2


@pytest.mark.parametrize("text", ["It is 5.", "<tool_call>oops</tool_call>", ""])
def test_what_is_no_call_stays_text(hermes: Any, text: str) -> None:
    assert hermes.parse_response(text + END, tools=[ADD]) == {"content": text}


def test_without_tools_nothing_is_a_call(hermes: Any) -> None:
    assert hermes.parse_response(CALL + END) == {"content": CALL}


def test_parser_of_another_form_makes_a_template_one_with_tools() -> None:
    template = HERMES.replace("<tool_call>", "").replace("</tool_call>", "")
    template = template.replace('"arguments"', '"parameters"')
    plain = ChatTokens(tiny_tokenizer(template), "tiny")
    tokenizer = tiny_tokenizer(template)
    tokenizer.add_tokens(["<|python_tag|>"])  # the parser insists on it
    parsing = ParsingTokenizer(tokenizer, "llama3_json")
    tokens = ChatTokens(parsing, "tiny")
    assert (plain.template.traits.tools, tokens.template.traits.tools) == (False, True)
    request, trace = ask("2 + 3?", ADD), TokenTrace()
    prompt = tokens.prompt(request, trace)
    text = '{"name": "add", "parameters": {"a": 2, "b": 3}}'
    reply = tokens.reply(request, prompt, tokens.encode(text + END), trace=trace)
    assert reply.finish_reason == "tool_calls"
    assert read_reply(reply).calls[0].arguments == {"a": 2, "b": 3}


def test_unknown_parser_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"one of vLLM's .*hermes.*, not 'hermess'"):
        ParsingTokenizer(tiny_tokenizer(HERMES), "hermess")


def test_parser_that_misses_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="'llama3_json' does not fit this tok"):
        ParsingTokenizer(tiny_tokenizer(HERMES), "llama3_json")
