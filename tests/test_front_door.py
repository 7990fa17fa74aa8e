"""`import tanqu` is all that a user needs, and it costs next to nothing until a name is used."""

import json
import subprocess
import sys

import pytest

import tanqu

HEAVY = ("chromadb", "langchain_core", "llama_cpp", "numpy", "pydantic", "scipy", "sqlalchemy")


def loaded_after(code: str) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after `code`."""
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout)) & set(HEAVY)


def test_importing_tanqu_loads_nothing_heavy() -> None:
    assert loaded_after("import tanqu; dir(tanqu)") == set()


def test_a_name_loads_what_it_needs_and_no_more() -> None:
    assert "pydantic" in loaded_after("from tanqu import Item")
    assert not {"llama_cpp", "chromadb"} & loaded_after("from tanqu import Item, Event, Settings")


@pytest.mark.parametrize("name", tanqu.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(tanqu, name) is not None
    assert name in dir(tanqu)


def test_the_public_names_are_sorted_so_that_one_can_find_them() -> None:
    assert sorted(tanqu.__all__) == tanqu.__all__


def test_a_name_that_is_not_there_is_an_attribute_error_that_says_so() -> None:
    with pytest.raises(AttributeError, match="Recomender"):
        _ = tanqu.Recomender
