"""What `import llm_gym` offers, what it costs, and what it must not load."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib import metadata
from typing import get_type_hints

import pytest
from packaging.requirements import Requirement

import llm_gym

PUBLIC = sorted(set(llm_gym.__all__) - {"__version__"})
MOST_PACKAGES = 14


def test_all_is_sorted_and_complete():
    assert llm_gym.__all__ == sorted(set(llm_gym.__all__))
    offered = {
        name
        for name, value in vars(llm_gym).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert offered - {"register_all"} == set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_documented(name):
    value = getattr(llm_gym, name)
    assert inspect.getdoc(value)
    for key, member in vars(value).items() if inspect.isclass(value) else ():
        if inspect.isfunction(member) and not key.startswith("_"):
            assert inspect.getdoc(getattr(value, key)), f"{name}.{key}"


def signatures(value):
    """Yield the public functions of a class, or a function itself."""
    if inspect.isfunction(value):
        yield value
    for key, member in vars(value).items() if inspect.isclass(value) else ():
        if inspect.isfunction(member) and not key.startswith("_"):
            yield member


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_signature_is_annotated(name):
    for function in signatures(getattr(llm_gym, name)):
        hints = get_type_hints(function, vars(sys.modules[function.__module__]))
        parameters = [
            key for key in inspect.signature(function).parameters if key != "self"
        ]
        assert {*parameters, "return"} <= hints.keys(), function


def test_the_version_is_that_of_the_distribution():
    assert llm_gym.__version__ == metadata.version("llm-gym")


def loaded_by(statement):
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return set(ran.stdout.split())


def test_importing_loads_nothing_heavy_and_no_environment():
    modules = loaded_by("import llm_gym")
    heavy = {"torch", "transformers", "vllm", "datasets", "ray", "pandas", "hypothesis"}
    assert not heavy & modules
    assert not [name for name in modules if name.startswith("llm_gym.envs.")]
    assert "llm_gym.env" in modules


def test_making_an_environment_loads_its_module_only():
    make = "import gymnasium, llm_gym; gymnasium.make('llmgym/SingleTool-v0')"
    loaded = {
        name for name in loaded_by(make) if re.match(r"llm_gym\.envs\.[a-z]", name)
    }
    assert loaded == {"llm_gym.envs.single_tool"}


def closure(name, seen):
    """Add a distribution and all that it needs, without extras, to `seen`."""
    seen.add(name)
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        needed = requirement.name.lower().replace("_", "-")
        wanted = requirement.marker is None or requirement.marker.evaluate(
            {"extra": ""}
        )
        if wanted and needed not in seen:
            closure(needed, seen)
    return seen


def test_the_core_needs_few_packages():
    packages = closure("llm-gym", set())
    assert "gymnasium" in packages
    assert len(packages) <= MOST_PACKAGES, sorted(packages)
