"""A module that is not needed is not imported, and nobody can tell."""

import subprocess
import sys
from pathlib import Path

import pytest

from syncline.adapters.deferring import deferred

DEAR = "value = 42\nimport sys\nsys.loads = getattr(sys, 'loads', 0) + 1\n"
USER = "from dear import sub\nimport dear.sub as again\ndef ask(): return sub.value, again.value\n"


@pytest.fixture
def dear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package whose submodule counts how often it is loaded, and a module that imports it in two ways."""
    (tmp_path / "dear").mkdir()
    # SciPy hands out its submodules like this, too.
    (tmp_path / "dear" / "__init__.py").write_text(
        "import importlib\ndef __getattr__(name): return importlib.import_module(f'dear.{name}')\n"
    )
    (tmp_path / "dear" / "sub.py").write_text(DEAR)
    (tmp_path / "its_user.py").write_text(USER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "loads", 0, raising=False)
    yield
    for name in ("dear", "dear.sub", "its_user"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("dear")
def test_a_deferred_module_is_loaded_when_something_of_it_is_asked_for_and_not_before():
    with deferred("dear.sub"):
        import its_user
    assert (sys.loads, "dear.sub" in sys.modules) == (0, False)

    assert its_user.ask() == (42, 42)

    assert sys.loads == 1


@pytest.mark.usefixtures("dear")
def test_afterwards_everybody_gets_the_real_module():
    with deferred("dear.sub"):
        import its_user
    import dear.sub

    assert (type(dear.sub).__name__, dear.sub.value, sys.loads) == ("module", 42, 1)
    assert its_user.ask() == (42, 42)
    assert sys.loads == 1


@pytest.mark.usefixtures("dear")
def test_a_module_that_is_imported_already_is_left_alone():
    import dear.sub

    with deferred("dear.sub"):
        assert sys.modules["dear.sub"] is dear.sub
    assert sys.modules["dear.sub"] is dear.sub


@pytest.mark.usefixtures("dear")
def test_a_module_that_is_used_during_the_block_is_the_real_one_from_then_on():
    with deferred("dear.sub"):
        import its_user

        its_user.ask()
        assert type(sys.modules["dear.sub"]).__name__ == "module"

    assert sys.modules["dear.sub"].value == 42


@pytest.mark.usefixtures("dear")
def test_nothing_stays_behind_when_the_import_fails():
    with pytest.raises(ModuleNotFoundError), deferred("dear.sub"):
        import no_such_module  # noqa: F401

    assert "dear.sub" not in sys.modules


def test_great_expectations_is_prepared_without_its_charts_and_without_being_changed():
    """In a process of its own, where nobody has imported anything."""
    program = (
        "import sys, threading\n"
        "from syncline.adapters import judging\n"
        "judging.prepare(); judging.prepare()\n"
        "[thread.join() for thread in threading.enumerate() if thread is not threading.current_thread()]\n"
        "assert 'great_expectations' in sys.modules\n"
        "print(sorted({'altair', 'scipy.stats'} & set(sys.modules)))\n"
        "from great_expectations.expectations.core import expect_column_kl_divergence_to_be_less_than as of_scipy\n"
        "print(round(of_scipy.stats.entropy([0.5, 0.5]), 2), of_scipy.alt.Chart.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("[]\n0.69 Chart\n", "")
