"""Gymnasium's own checker, with every warning an error."""

from __future__ import annotations

import inspect
import re
import warnings

from gymnasium import make
from gymnasium.utils.env_checker import check_env

from llm_gym.checks.subject import Subject
from llm_gym.checks.verdicts import Failed

__all__ = ["check_gymnasium"]

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def check_gymnasium(subject: Subject) -> str:
    """Gymnasium's `check_env` has nothing to say."""
    env = make(subject.spec, disable_env_checker=True).unwrapped
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_env(env, skip_render_check=not _takes_render_mode(subject))
    except (AssertionError, Warning) as err:
        raise Failed(f"`check_env`: {_COLOUR.sub('', str(err))}") from err
    finally:
        env.close()
    return "`check_env` passed, without a warning"


def _takes_render_mode(subject: Subject) -> bool:
    """Say whether the environment can be made to render; a class must be able to."""
    if isinstance(subject.target, (str, type)):
        return True
    return "render_mode" in inspect.signature(subject.target).parameters
