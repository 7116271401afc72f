"""Recipes and jobs: what they refuse, and that flags go before the file."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from forecaster.cursor import OnGap
from forecaster.spec import Policy
from training.errors import DataError
from training.recipe import Recipe, SettledRecipe, read_job, settle
from training.rounds import PretrainRecipe, read_recipe

REPOSITORY = Path(__file__).parents[2]
RECIPES = REPOSITORY / "examples" / "recipes"


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


@pytest.mark.parametrize(("samples", "epochs"), [(1, 1000), (22, 1000), (118, 187), (399, 56)])
def test_few_samples_take_the_plain_recipe(samples: int, epochs: int) -> None:
    """The large one lost to persistence on the 22 samples of the shampoo sales."""
    recipe = settle(Recipe(), samples)

    assert recipe == SettledRecipe(
        units=(1,), batch=1, window=1, epochs=epochs, learning_rate=0.001, loss="mse"
    )


def test_many_samples_take_the_large_recipe() -> None:
    recipe = settle(Recipe(), 400)

    assert recipe == SettledRecipe(
        units=(32,), batch=32, window=24, epochs=200, learning_rate=0.003, loss="quantiles"
    )


@pytest.mark.parametrize("samples", [22, 4000])
def test_a_policy_that_resets_each_step_settles_on_window_1(samples: int) -> None:
    assert settle(Recipe(policy=Policy.RESET_EACH_STEP), samples).window == 1


@pytest.mark.parametrize("samples", [22, 4000])
def test_what_a_recipe_names_is_kept(samples: int) -> None:
    named = SettledRecipe(
        units=(7, 5), batch=3, window=4, epochs=9, learning_rate=0.5, loss="mae", validation=0.1
    )

    assert settle(Recipe(**named.model_dump()), samples) == named


def test_epochs_make_up_for_a_larger_batch() -> None:
    assert settle(Recipe(batch=2, window=5), 300).epochs == 734  # of 30 updates each


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
        ('name = "x"\n', "file: needed, here or as the first argument$"),
        ('file = "a.csv"\n', "name: needed, here or with --name$"),
        ('file = "a.csv"\nname = "x"\nrecipe = 5\n', "recipe: expected a table .*, found 5$"),
        (
            'file = "a.csv"\nname = "x"\n[recipe]\npolicy = "reset_each_step"\nwindow = 2\n',
            "recipe: policy reset_each_step .* needs window 1$",
        ),
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


def test_a_job_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "job.toml"
    config.write_bytes('name = "caf\u00e9"\n'.encode("latin-1"))

    with pytest.raises(DataError, match=r"job.toml: expected a TOML file, found .*utf-8"):
        read_job(config, {}, {})


def test_what_the_command_line_leaves_out_is_one_sentence() -> None:
    with pytest.raises(DataError, match=r"^the command line: name: needed, with --name$"):
        read_job(None, {"file": Path("a.csv")}, {})


@pytest.mark.parametrize(
    ("text", "expected"), [("refuse", OnGap.REJECT), ("fill", OnGap.FILL), ("skip", OnGap.SKIP)]
)
def test_a_job_file_says_what_becomes_of_gaps_as_the_flag_does(
    tmp_path: Path, text: str, expected: OnGap
) -> None:
    config = tmp_path / "job.toml"
    config.write_text(f'file = "a.csv"\nname = "x"\non_gap = "{text}"\n')

    assert read_job(config, {}, {}).on_gap is expected


def test_the_recipe_of_the_worked_example_is_valid() -> None:
    assert read_job(RECIPES / "shampoo.toml", {}, {}).file.exists()


def test_a_job_is_plain_where_a_recipe_is_named_and_chooses_otherwise(tmp_path: Path) -> None:
    named: dict[str, object] = {"file": tmp_path / "a.csv", "name": "a"}
    seeds = {"seed": 7, "repeats": 2}

    free = read_job(None, named, {}, seeds)
    plain = read_job(None, named, {"units": [8]}, seeds)
    told = read_job(None, named | {"method": "plain"}, {}, seeds)

    assert (free.method, free.tune.seed, free.recipe.seed) == ("auto", 7, 1)
    assert (plain.method, plain.recipe.seed, plain.recipe.repeats) == ("plain", 7, 2)
    assert (told.method, told.recipe.seed) == ("plain", 7)


@pytest.mark.parametrize(
    "name", ["airline", "m4_hourly", "min_temperatures", "pollution", "sunspots"]
)
def test_the_recipes_of_data_sets_leave_the_fit_open(name: str, tmp_path: Path) -> None:
    job = read_job(RECIPES / f"{name}.toml", {"file": tmp_path / "a.csv"}, {})

    assert (job.name, job.method) == (name, "auto")
    assert job.test is not None
    assert job.tune.model_fields_set == {"seed", "repeats"}


def test_what_a_plain_network_is_made_of_goes_with_no_other_method() -> None:
    with pytest.raises(DataError, match=r"method tuned: expected nothing .* found units"):
        read_job(None, {"file": "a.csv", "name": "a", "method": "tuned"}, {"units": [3]})


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"budget": "5x"}, "budget: expected a time as 90s, 5m or 1h, found '5x'"),
        ({"budget": "-PT5M"}, "budget: expected a time"),
        ({"budget": "99999999999999h"}, "budget: expected a time"),
        ({"season": "abc"}, "season: expected a length, or two as 168,24, found 'abc'"),
        ({"season": "24,"}, "season: expected a length"),
        ({"tune": {"calendar": ["year", "year"]}}, "names a cycle twice"),
    ],
)
def test_a_job_refuses_what_makes_no_sense(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_job(None, {"file": "a.csv", "name": "a"} | fields, {})


def test_a_budget_is_a_time() -> None:
    job = read_job(None, {"file": "a.csv", "name": "a", "budget": "5m"}, {})

    assert job.budget is not None
    assert job.budget.total_seconds() == 300


@pytest.mark.parametrize(
    ("season", "told", "baseline"),
    [
        (None, None, None),
        (12, (12, 0), 12),
        (365, (0, 0), 365),
        ([168, 24], (168, 24), 24),
        ("24", (24, 0), 24),
        ("168,24", (168, 24), 24),
    ],
)
def test_the_season_of_a_job_is_told_and_of_the_baselines(
    season: object, told: object, baseline: object
) -> None:
    job = read_job(None, {"file": "a.csv", "name": "a", "season": season}, {})

    assert (job.told_season, job.baseline_season) == (told, baseline)


def test_the_recipe_of_the_universal_model_is_what_its_manifest_says() -> None:
    manifest = json.loads((REPOSITORY / "models" / "universal" / "manifest.json").read_text())

    recipe = read_recipe(RECIPES / "universal.toml", {})

    assert recipe.model_dump(mode="json") == manifest["recipe"]
    assert recipe == PretrainRecipe()
