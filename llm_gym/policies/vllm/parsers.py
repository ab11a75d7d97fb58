"""vLLM's tool parsers, in the shape of a tokenizer that reads replies by itself.

`llm_gym.tokens` asks a tokenizer for its parser; here that is one of vLLM's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_gym.errors import require

__all__ = ["ParsingTokenizer"]


class ParsingTokenizer:
    """A tokenizer whose replies are read by one of vLLM's tool parsers.

    All else is the tokenizer's own.

    Args:
        tokenizer: A tokenizer of transformers.
        parser: The parser's name in vLLM: "hermes", "llama3_json", ...

    Raises:
        ValueError: vLLM has no such parser, or it cannot read this tokenizer's replies.
    """

    response_template = "a tool parser of vLLM"  # how a tokenizer says that it has one

    def __init__(self, tokenizer: Any, parser: str) -> None:
        self._tokenizer = tokenizer
        manager = require("vllm.tool_parsers", extra="vllm").ToolParserManager
        try:
            self._parser = manager.get_tool_parser(parser)
        except KeyError as err:
            known = ", ".join(manager.list_registered())
            raise ValueError(
                f"`tool_parser` must be one of vLLM's ({known}), not {parser!r}"
            ) from err
        protocol = require(
            "vllm.entrypoints.openai.chat_completion.protocol", extra="vllm"
        )
        self._request = protocol.ChatCompletionRequest
        self._make_parser(parser)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Encode, as the tokenizer does."""
        return self._tokenizer(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def parse_response(
        self, completion: str, *, tools: Sequence[Any] = ()
    ) -> dict[str, Any]:
        """Return the assistant's message that a completion is.

        Args:
            completion: The text, with the token that ended it.
            tools: The tools of the request.
        """
        text = self._without_end(completion)
        if not tools:
            return {"content": text}
        request = self._request(
            messages=[{"role": "user", "content": ""}], tools=list(tools)
        )
        parser = self._parser(self._tokenizer, request.tools)
        read = parser.extract_tool_calls(text, request)
        if not read.tools_called:
            return {"content": text}
        # Without their ids, which are random: the environment numbers the calls.
        calls = [
            {
                "type": "function",
                "function": {
                    "name": call.function.name,
                    "arguments": call.function.arguments,
                },
            }
            for call in read.tool_calls
        ]
        return {"content": read.content or "", "tool_calls": calls}

    def _make_parser(self, name: str) -> None:
        """Try whether the parser finds its marks in the vocabulary."""
        try:
            self._parser(self._tokenizer, None)
        except (RuntimeError, ValueError, LookupError) as err:
            raise ValueError(
                f"the tool parser {name!r} does not fit this tokenizer: {err}"
            ) from err

    def _without_end(self, completion: str) -> str:
        """Cut the special token off that ended a reply."""
        text = completion.rstrip("\n")  # chat templates write one after it
        for token in self._tokenizer.all_special_tokens:
            if text.endswith(token):
                return text.removesuffix(token)
        return completion
