"""What the linter says of templates that are known to do something."""

from __future__ import annotations

import pytest

from llm_gym.tokens import ChatTokens
from llm_gym.tokens.lint import TemplateReport, lint_template
from llm_gym.tokens.loading import neutral_tokenizer
from tests.policies.tiny import CALLS_APART, END, HERMES, PLAIN, STRICT, THINKING
from tests.tokens.families import OWN, trl_templates
from tests.tokens.test_chat_tokens import QWEN

TRL = trl_templates()
needs_trl = pytest.mark.skipif(not TRL, reason="TRL's templates are not installed")


def lint(template: str) -> TemplateReport:
    return lint_template(ChatTokens(neutral_tokenizer(template), "it"), "it")


def field(report: TemplateReport, name: str) -> str:
    return {finding.field: finding.status for finding in report.fields}[name]


def problems(report: TemplateReport) -> dict[str, str]:
    return {turn.turn: turn.problem for turn in report.turns if not turn.stable}


@pytest.mark.parametrize("template", [PLAIN, HERMES, STRICT, CALLS_APART])
def test_stable_templates_pass(template: str) -> None:
    report = lint(template)
    assert report.stable
    assert {turn.action for turn in report.turns} == {"appends"}
    assert END in report.ends


def test_thinking_that_is_stripped_is_flagged() -> None:
    report = lint(QWEN)
    assert not report.stable
    assert problems(report).keys() == {
        "thinking and text, then the user",
        "thinking, then the user",
    }
    assert field(report, "thinking while tools answer") == "shown"
    assert field(report, "thinking once the user speaks") == "dropped"
    actions = {turn.action for turn in report.turns if not turn.stable}
    assert actions == {"begins a new segment"}


def test_thinking_is_not_judged_where_it_is_never_written() -> None:
    report = lint(HERMES)
    assert not any("thinking" in turn.turn for turn in report.turns)
    assert any("turns with thinking were not judged" in note for note in report.notes)


def test_prompt_that_opens_a_thought_is_flagged() -> None:
    report = lint(THINKING)
    assert "rewrites what stands before" in problems(report)["text, then the user"]


@pytest.mark.parametrize("name", ["counting", "last thought"])
def test_templates_that_rewrite_are_flagged(name: str) -> None:
    assert not lint(OWN[name]).stable


def test_missing_end_of_turn_is_said() -> None:
    tokenizer = neutral_tokenizer(PLAIN.replace(END, ""))
    tokenizer.eos_token = None
    report = lint_template(ChatTokens(tokenizer, "it"), "it")
    assert not report.stable
    assert any("no special token ends a reply" in note for note in report.notes)


def test_tools_as_text_are_said() -> None:
    assert lint(HERMES).tools == "native"
    report = lint(CALLS_APART)
    assert report.tools == "text"
    assert any("described in the system message" in note for note in report.notes)


def test_folded_system_message_and_joined_repeats_are_said() -> None:
    report = lint(STRICT)
    (system, *_) = report.fields
    assert system.note == "put before the first message of the user"
    assert any("no two messages of one role" in note for note in report.notes)


def test_date_is_said() -> None:
    dated = "{{ strftime_now('%d %b %Y') }}" + PLAIN
    assert any("the present date" in note for note in lint(dated).notes)


BESIDE = "{{ m.content }}{% for c in"
CALL_NAME = "{{ c.function.name }}"


@pytest.mark.parametrize(
    ("old", "new", "name", "status"),
    [
        ("{{ m.content }}{%", "{% if not m.tool_calls %}{{ m.content }}{% endif %}{%",
         "text beside a call", "dropped"),
        ("m.tool_calls or []", "(m.tool_calls or [])[:1]", "parallel calls", "dropped"),
        ("m.tool_calls or []", "(m.tool_calls or []) | reverse", "parallel calls",
         "reordered"),
        ("{{ m.content }}{%", "{{ m.content or 'None' }}{%", "empty content",
         "changed"),
        ("{{ m.content }}{%", "{{ m.content | trim }}{%", "spaces around a text",
         "changed"),
        ("<tool_response>", "<tool_response>{{ m.name }}: ",
         "the tool's name with a result", "shown"),
    ],
)  # fmt: skip
def test_what_happens_to_fields_is_found(
    old: str, new: str, name: str, status: str
) -> None:
    tokens = ChatTokens(neutral_tokenizer(HERMES), "it")
    assert field(lint_template(tokens, "it"), name) != status
    # The template may then be found to know no tools; the fields are what is told.
    changed = HERMES.replace(old, new)
    tokens = ChatTokens(neutral_tokenizer(changed), "it")
    assert field(lint_template(tokens, "it"), name) == status


def test_template_that_refuses_a_field_is_not_an_error() -> None:
    refusing = HERMES + (
        "{% for m in messages %}{% if m.tool_calls and m.tool_calls | length > 1 %}"
        "{{ raise_exception('one call') }}{% endif %}{% if not m.content and not "
        "m.tool_calls %}{{ raise_exception('empty') }}{% endif %}"
        "{% if m.content != m.content | trim %}{{ raise_exception('space') }}"
        "{% endif %}{% endfor %}"
    )
    report = lint(refusing)
    assert field(report, "parallel calls") == "refused"
    assert field(report, "empty content") == "refused"
    assert field(report, "spaces around a text") == "refused"
    assert "one call" in problems(report)["several calls, then a tool result"]


@needs_trl
def test_qwen3_is_flagged_for_thinking_that_it_strips() -> None:
    report = lint(TRL["qwen3"])
    assert problems(report).keys() == {
        "thinking and text, then the user",
        "thinking, then the user",
    }


@needs_trl
@pytest.mark.parametrize("name", ["qwen2_5", "llama3", "phi3", "gemma3", "lfm2"])
def test_stable_families_pass(name: str) -> None:
    assert lint(TRL[name]).stable


@needs_trl
@pytest.mark.parametrize("name", ["qwen3_5_think", "deepseekv3", "gptoss"])
def test_families_that_rewrite_are_flagged(name: str) -> None:
    assert not lint(TRL[name]).stable
