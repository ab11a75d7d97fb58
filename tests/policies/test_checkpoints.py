"""Where models are, and how their replies end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from llm_gym.policies.checkpoints import eos_ids, name_of, place_of
from llm_gym.policies.embedded import ModelNotFoundError


def test_a_folder_is_found_and_named(tmp_path):
    folder = tmp_path / "my-model"
    folder.mkdir()
    assert place_of(folder) == str(folder)
    assert name_of(place_of(str(folder))) == "my-model"


def test_a_hubs_name_is_left_as_it_is():
    assert name_of(place_of("someone/their-model")) == "someone/their-model"


@pytest.mark.parametrize("source", ["./none", "~/none", "/no/such", "a/b/c", Path("x")])
def test_a_path_without_a_folder_is_refused(source):
    with pytest.raises(ModelNotFoundError, match=r"there is no folder .* to load"):
        place_of(source)


@pytest.mark.parametrize(("listed", "ids"), [(None, set()), (2, {2}), ([2, 3], {2, 3})])
def test_the_ends_of_replies_are_read(listed, ids):
    assert eos_ids(SimpleNamespace(eos_token_id=listed)) == ids
