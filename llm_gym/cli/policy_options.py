"""The options of commands that let a policy act."""

from __future__ import annotations

import argparse

from llm_gym.policies import (
    EndpointPolicy,
    EnvPolicy,
    OraclePolicy,
    Policy,
    RandomPolicy,
    Sampling,
    TransformersPolicy,
    VLLMPolicy,
)
from llm_gym.policies.keys import Key

__all__ = ["add_policy_options", "make_policy"]


def add_policy_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which policy acts, and how it samples."""
    parser.add_argument(
        "--policy",
        choices=("transformers", "vllm", "endpoint", "random", "oracle"),
        help="what acts (default: transformers, a language model on this machine; "
        "endpoint where --base-url is given)",
    )
    parser.add_argument(
        "--model",
        help="a folder or a hub's name (default: the embedded SmolLM2-135M); the "
        "server's name of it with --base-url",
    )
    parser.add_argument("--base-url", help="an OpenAI-compatible server's address")
    parser.add_argument(
        "--key-env", metavar="NAME", help="the environment variable with its key"
    )
    parser.add_argument("--api", choices=("chat", "responses"), default="chat")
    parser.add_argument("--max-new-tokens", type=int, default=128, metavar="N")
    parser.add_argument("--temperature", type=float, default=0.7, metavar="T")


def make_policy(options: argparse.Namespace) -> Policy | EnvPolicy:
    """Make the policy that the options name.

    Raises:
        ValueError: An option is missing or does not go with another.
    """
    kind = options.policy or ("endpoint" if options.base_url else "transformers")
    if (kind == "endpoint") != bool(options.base_url):
        raise ValueError("`--policy endpoint` and `--base-url` need each other")
    if kind == "random":
        return RandomPolicy(options.seed)
    if kind == "oracle":
        return OraclePolicy()
    seed = 0 if options.api == "responses" else options.seed  # that API knows none
    sampling = Sampling(
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        seed=seed,
    )
    if kind == "vllm":
        return VLLMPolicy(options.model, sampling=sampling)
    if kind == "transformers":
        return TransformersPolicy(options.model, sampling=sampling)
    if options.model is None:
        raise ValueError("`--base-url` needs `--model`, the server's name of the model")
    return EndpointPolicy(
        options.base_url,
        options.model,
        api=options.api,
        sampling=sampling,
        key=Key.from_env(options.key_env) if options.key_env else None,
    )
