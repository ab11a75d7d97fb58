"""All attacks."""

from __future__ import annotations

from tests.sandbox.attacks import (
    files,
    forging,
    host_data,
    kernel,
    network,
    persistence,
    resources,
    signals,
)
from tests.sandbox.attacks.model import Attack

__all__ = ["ATTACKS", "FAMILIES"]

ATTACKS: list[Attack] = [
    attack
    for module in (
        resources,
        persistence,
        host_data,
        network,
        signals,
        kernel,
        files,
        forging,
    )
    for attack in module.ATTACKS
]
FAMILIES = sorted({attack.family for attack in ATTACKS})
