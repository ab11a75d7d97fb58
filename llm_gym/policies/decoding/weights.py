"""Writing new weights into a model in place, and noticing that someone else did.

Knows torch modules; knows no decoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from llm_gym.errors import require

if TYPE_CHECKING:
    import torch

__all__ = ["check_state", "fingerprint", "write_weights"]

# How many numbers of each tensor are looked at; an optimiser's step moves nearly all.
_LOOKED_AT = 4


def fingerprint(model: Any) -> object:
    """Return what changes when weights change: where they lie, and a few of them."""
    torch = require("torch", extra="transformers")
    tensors = [tensor.detach() for tensor in model.parameters()]
    few = [tensor.reshape(-1)[:_LOOKED_AT].float() for tensor in tensors]
    values = torch.cat([one.to(few[0].device) for one in few]).cpu()
    return [tensor.data_ptr() for tensor in tensors], values.numpy().tobytes()


def check_state(model: Any, state: Mapping[str, torch.Tensor]) -> None:
    """Check that a state has a tensor of the right shape for each of the model's.

    A tensor that shares its memory with another one, as tied embeddings do, may be
    missing if the other one is there.

    Raises:
        ValueError: Names are missing or unknown, or a shape differs.
    """
    own = model.state_dict()
    given = {own[name].data_ptr() for name in state if name in own}
    missing = [
        n for n, t in own.items() if n not in state and t.data_ptr() not in given
    ]
    if missing:
        raise ValueError(
            f"the state lacks {len(missing)} of the model's {len(own)} tensors, "
            f"`{missing[0]}` for one: `update_weights` takes a part of them"
        )
    for name, tensor in state.items():
        _target(own, name, tensor)


def write_weights(model: Any, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Copy tensors into a model, whatever their device and their type of numbers.

    Raises:
        ValueError: A name is unknown or a shape differs; what came before is written.
    """
    torch = require("torch", extra="transformers")
    own = model.state_dict()
    with torch.no_grad():
        for name, tensor in weights:
            _target(own, name, tensor).copy_(tensor)


def _target(own: Mapping[str, Any], name: str, tensor: torch.Tensor) -> Any:
    """Return the model's tensor of that name, if it has the shape of the given one."""
    if name not in own:
        raise ValueError(
            f"the model has no tensor `{name}`; its names are like `{next(iter(own))}`"
        )
    if own[name].shape != tensor.shape:
        expected, came = tuple(own[name].shape), tuple(tensor.shape)
        raise ValueError(f"`{name}` must have the shape {expected}, not {came}")
    return own[name]
