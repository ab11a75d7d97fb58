"""The exception tree: what each is caught as, how each travels between processes."""

from __future__ import annotations

import pickle

import pytest

from llm_gym import errors
from llm_gym.errors import (
    EnvironmentFault,
    LLMGymError,
    MissingDependencyError,
    PolicyFault,
    UnknownTaskError,
    require,
)

EXCEPTIONS = [
    kind for name in errors.__all__ if isinstance(kind := getattr(errors, name), type)
]


@pytest.mark.parametrize("kind", EXCEPTIONS)
def test_every_exception_has_one_root_and_survives_pickling(kind):
    error = pickle.loads(pickle.dumps(kind("why")))
    assert type(error) is kind
    assert isinstance(error, LLMGymError)
    assert str(error) == "why"


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("DefinitionError", TypeError),
        ("ActionError", TypeError),
        ("FormatError", ValueError),
        ("SnapshotError", ValueError),
        ("UnknownTaskError", KeyError),
        ("MissingDependencyError", ImportError),
        ("PolicyFault", EnvironmentFault),
    ],
)
def test_exceptions_are_caught_as_what_they_are(name, builtin):
    assert issubclass(getattr(errors, name), builtin)


def test_caller_mistakes_are_no_faults():
    faults = [kind for kind in EXCEPTIONS if issubclass(kind, EnvironmentFault)]
    assert not any(issubclass(kind, (TypeError, ValueError)) for kind in faults)
    assert {kind.__name__ for kind in faults} == {
        "EnvironmentFault",
        "JudgeFault",
        "PolicyFault",
        "SandboxFault",
        "SandboxUnavailable",
        "UserFault",
    }


def test_fault_names_env_tool_task_and_seed():
    fault = EnvironmentFault("broke", env_id="a/B-v0", tool="t", task_id="x", seed=0)
    assert str(fault) == "broke (env 'a/B-v0', tool 't', task 'x', seed 0)"
    assert str(EnvironmentFault("broke", seed=3)) == "broke (seed 3)"


@pytest.mark.parametrize("kind", [EnvironmentFault, PolicyFault])
def test_fault_keeps_its_parts_through_pickling(kind):
    fault = pickle.loads(
        pickle.dumps(kind("m", env_id="e", tool="t", task_id="i", seed=1))
    )
    assert type(fault) is kind
    parts = (fault.message, fault.env_id, fault.tool, fault.task_id, fault.seed)
    assert parts == ("m", "e", "t", "i", 1)


def test_unknown_task_shows_words_and_not_a_repr():
    assert str(UnknownTaskError("there is no task 'x'")) == "there is no task 'x'"


def test_require_returns_the_module():
    assert require("json.decoder", extra="none").__name__ == "json.decoder"


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.part"])
def test_require_names_the_extra_to_install(module):
    with pytest.raises(MissingDependencyError, match=r"pip install 'llm-gym\[magic\]'"):
        require(module, extra="magic")


def test_require_does_not_blame_a_package_for_what_it_lacks(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_package") as caught:
        require("half_installed", extra="magic")
    assert not isinstance(caught.value, MissingDependencyError)
