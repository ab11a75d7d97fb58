"""Templates are asked what they can do, and requests follow the answer."""

import copy
from typing import Any

import pytest

from llm_gym.errors import LLMGymError, MissingDependencyError
from llm_gym.messages import ChatRequest
from llm_gym.tokens import chat_template
from llm_gym.tokens.chat_template import ChatTemplate, ChatTemplateError
from llm_gym.tokens.chat_text import tools_text
from tests.policies.tiny import (
    ADD,
    CALLS_APART,
    END,
    HERMES,
    PLAIN,
    RESPONSE_TEMPLATE,
    RESULTS,
    STRICT,
    THINKING,
    ask,
    tiny_tokenizer,
)
from tests.tokens.test_chat_text import HISTORY

CALLING: ChatRequest = {"messages": HISTORY, "tools": [ADD]}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_tokenizer()


def with_template(tokenizer: Any, text: str, **attributes: Any) -> ChatTemplate:
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = text
    for name, value in attributes.items():
        setattr(changed, name, value)
    return ChatTemplate(changed, "tiny")


@pytest.mark.parametrize(
    ("text", "tools", "tool_role", "system_role", "repeats"),
    [
        pytest.param(PLAIN, False, False, True, True, id="plain"),
        pytest.param(HERMES, True, True, True, True, id="hermes"),
        pytest.param(THINKING, True, True, True, True, id="thinking"),
        pytest.param(CALLS_APART, False, True, True, True, id="calls apart"),
        pytest.param(STRICT, False, False, False, False, id="strict"),
        pytest.param(RESULTS, False, True, True, True, id="results"),
    ],
)
def test_traits_are_found_by_trying(
    tokenizer: Any,
    text: str,
    tools: bool,
    tool_role: bool,
    system_role: bool,
    repeats: bool,
) -> None:
    traits = with_template(tokenizer, text).traits
    assert (traits.tools, traits.tool_role) == (tools, tool_role)
    assert (traits.system_role, traits.repeats) == (system_role, repeats)


def test_own_parser_makes_unusual_calls_readable(tokenizer: Any) -> None:
    template = with_template(
        tokenizer, CALLS_APART, response_template=RESPONSE_TEMPLATE
    )
    assert template.traits.tools


def test_template_without_tools_is_told_of_them_as_text(tokenizer: Any) -> None:
    prompt = with_template(tokenizer, PLAIN).render(CALLING)
    assert tools_text([ADD]) in prompt
    assert '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 3}}' in prompt
    assert "<|im_start|>user\n<tool_response>\n4\n" in prompt
    assert prompt.endswith("<|im_start|>assistant\n")


def test_template_with_tools_gets_them_as_they_are(tokenizer: Any) -> None:
    prompt = with_template(tokenizer, HERMES).render(CALLING)
    assert "You can use tools" not in prompt
    assert prompt.count('"parameters": {') == 1
    assert '<tool_call>{"name": "add", "arguments": {"a": 2, "b": 2}}' in prompt
    assert "<tool_response>four</tool_response>" in prompt


def test_strict_template_gets_no_system_message_and_no_repeats(tokenizer: Any) -> None:
    request = ask("Hi", ADD, system="Be brief.")
    request["messages"].append({"role": "user", "content": "Hello?"})
    prompt = with_template(tokenizer, STRICT).render(request)
    start = f"<|im_start|>user\nBe brief.\n\n{tools_text([ADD])}\n\nHi\n\nHello?"
    assert prompt.startswith(start)


def test_results_keep_the_role_that_the_template_knows(tokenizer: Any) -> None:
    prompt = with_template(tokenizer, RESULTS).render(CALLING)
    assert "<|im_start|>ipython\n4<|im_end|>" in prompt
    assert "<tool_response>\n4" not in prompt


def test_conversation_that_a_template_refuses_is_a_clear_error(tokenizer: Any) -> None:
    template = with_template(tokenizer, STRICT)
    request: ChatRequest = {"messages": [{"role": "assistant", "content": "Hi"}]}
    with pytest.raises(ChatTemplateError, match=r"`tiny` refuses the roles.*alternate"):
        template.render(request)


def test_tokenizer_without_template_is_a_clear_error(tokenizer: Any) -> None:
    with pytest.raises(ChatTemplateError, match="`tiny` has no chat template") as info:
        with_template(tokenizer, "")
    assert isinstance(info.value, LLMGymError)
    assert isinstance(info.value, ValueError)


def test_template_that_always_fails_is_a_clear_error(tokenizer: Any) -> None:
    with pytest.raises(ChatTemplateError, match="refuses the roles \\['user'\\]"):
        with_template(tokenizer, "{{ raise_exception('never') }}")


def test_jinja_that_is_missing_is_named(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(module: str, *, extra: str) -> None:
        raise MissingDependencyError(f"{module} of {extra}")

    monkeypatch.setattr(chat_template, "require", refuse)
    with pytest.raises(MissingDependencyError, match="jinja2 of transformers"):
        ChatTemplate(tokenizer, "tiny")


def test_end_of_turn_is_the_special_token_after_a_reply(tokenizer: Any) -> None:
    end = tokenizer.convert_tokens_to_ids(END)
    assert with_template(tokenizer, PLAIN).end_of_turn() == {end}
    unmarked = PLAIN.replace(END, "")
    assert with_template(tokenizer, unmarked).end_of_turn() == set()


@pytest.fixture(scope="module")
def parsing(tokenizer: Any) -> ChatTemplate:
    return with_template(tokenizer, CALLS_APART, response_template=RESPONSE_TEMPLATE)


PROMPT = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"


def test_parse_reads_calls_and_thoughts(parsing: ChatTemplate) -> None:
    text = '<think>Add.</think>[CALL]{"name": "add", "arguments": {"a": 1}}[/CALL]'
    message = parsing.parse(text + END, PROMPT, [ADD])
    assert message is not None
    assert message["tool_calls"][0]["function"]["arguments"] == {"a": 1}
    assert message["reasoning_content"] == "Add."
    assert (message["role"], message["content"]) == ("assistant", "")


def test_parse_reads_plain_text(parsing: ChatTemplate) -> None:
    message = parsing.parse(f"It is 4.{END}", PROMPT, [])
    assert message == {"role": "assistant", "content": "It is 4."}


def test_parse_gives_up_on_what_its_parser_cannot_read(parsing: ChatTemplate) -> None:
    assert parsing.parse("[CALL]{broken[/CALL]", PROMPT, [ADD]) is None


def test_parse_needs_a_parser(tokenizer: Any) -> None:
    assert with_template(tokenizer, PLAIN).parse("It is 4.", PROMPT, []) is None


@pytest.mark.parametrize("parsed", ["no message", {"content": 4}, None])
def test_parse_refuses_what_is_no_message(tokenizer: Any, parsed: object) -> None:
    template = with_template(
        tokenizer,
        PLAIN,
        response_schema={"type": "object"},
        parse_response=lambda text: parsed,
    )
    assert template.parse("It is 4.", PROMPT, []) is None


def test_parse_serves_parsers_that_want_the_text_alone(tokenizer: Any) -> None:
    template = with_template(
        tokenizer,
        PLAIN,
        response_schema={"type": "object"},
        parse_response=lambda text: {"content": None, "thinking": text},
    )
    message = template.parse("Hm.", PROMPT, [ADD])
    assert message == {
        "role": "assistant",
        "content": "",
        "reasoning_content": "Hm.",
    }
