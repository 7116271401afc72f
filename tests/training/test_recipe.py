"""Recipes and jobs: what they refuse, and that flags go before the file."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from forecaster.spec import Policy
from training.errors import DataError
from training.recipe import Recipe, read_job

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("units", []),
        ("units", [0]),
        ("batch", 0),
        ("window", 0),
        ("epochs", 0),
        ("optimizer", "magic"),
        ("loss", "hinge"),
        ("learning_rate", 0.0),
        ("validation", 1.0),
        ("quantiles", [0.1, 0.9]),
        ("quantiles", [0.5, 0.1, 0.9]),
        ("layers", 3),
    ],
)
def test_a_recipe_refuses_what_makes_no_sense(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        Recipe.model_validate({field: value})


def test_a_policy_that_resets_each_step_trains_each_step_alone() -> None:
    with pytest.raises(ValidationError, match="needs window 1"):
        Recipe(policy=Policy.RESET_EACH_STEP, window=2)


def test_a_job_file_names_its_data_relative_to_itself(tmp_path: Path) -> None:
    config = tmp_path / "job.toml"
    config.write_text('file = "data/sales.csv"\nname = "sales"\n[recipe]\nunits = [8, 4]\n')

    job = read_job(config, {}, {})

    assert job.file == tmp_path / "data" / "sales.csv"
    assert job.recipe.units == (8, 4)


def test_flags_go_before_the_job_file(tmp_path: Path) -> None:
    config = tmp_path / "job.toml"
    config.write_text('file = "a.csv"\nname = "sales"\ntest = 3\n[recipe]\nepochs = 7\nbatch = 2\n')

    job = read_job(config, {"test": 5}, {"epochs": 9})

    assert (job.test, job.recipe.epochs, job.recipe.batch) == (5, 9, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\n', "file: Field required"),
        ('file = "a.csv"\nname = "../x"\n', "name: .*found '../x'"),
        ('file = "a.csv"\nname = "x"\nfreq = "fortnight"\n', "freq 'fortnight' is not known"),
        ('file = "a.csv"\nname = "x"\n[recipe]\nepoch = 3\n', "recipe.epoch: .*found 3"),
        ("file = a.csv\n", "expected a TOML file"),
    ],
)
def test_a_fault_in_a_job_file_is_named_with_the_file(
    tmp_path: Path, text: str, message: str
) -> None:
    config = tmp_path / "job.toml"
    config.write_text(text)

    with pytest.raises(DataError, match=f"job.toml.*{message}"):
        read_job(config, {}, {})


@pytest.mark.parametrize("path", sorted((REPOSITORY / "examples" / "recipes").glob("*.toml")))
def test_every_recipe_in_the_repository_is_valid(path: Path) -> None:
    assert read_job(path, {}, {}).file.exists()
