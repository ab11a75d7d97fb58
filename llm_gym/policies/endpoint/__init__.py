"""A policy that asks a server over HTTP: OpenAI's, Azure's, vLLM's, or alike."""

from llm_gym.policies.endpoint.options import (
    AzureOptions,
    EndpointBody,
    EndpointError,
    EndpointLimits,
)
from llm_gym.policies.endpoint.policy import EndpointPolicy

__all__ = [
    "AzureOptions",
    "EndpointBody",
    "EndpointError",
    "EndpointLimits",
    "EndpointPolicy",
]
