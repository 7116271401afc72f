"""The commands, run as a shell runs them."""

import json
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from forecaster.covariates import Covariates
from forecaster.spec import Covariate, Kind
from stepcast.client import Client, StepcastError
from stepcast.walk import find_covariates
from tests.app.running import ROOT, Process, serving, stepcast
from tests.forecaster.fakes import draw_covariates, write_model
from training.recipe import Recipe

COMMANDS = ("train", "pretrain", "backtest", "compare", "serve", "walk", "import", "inspect")
SHAMPOO = "examples/shampoo.csv"
NOBODY = "http://127.0.0.1:1"

# Two ways to the same scores may differ by this much.
TOLERANCE = 1e-6

# Persistence over the last twelve months, as published.
PERSISTENCE_RMSE = 136.761


def printed(*arguments: str) -> Any:
    """Return the JSON that a command prints, and nothing else."""
    ended = stepcast(*arguments, "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    return json.loads(ended.stdout)


def numbers(scores: dict[str, Any]) -> dict[str, float]:
    """Return scores flat, as `approx` compares them."""
    flat: dict[str, float] = {}
    for name, value in scores.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": number for inner, number in numbers(value).items()}
        else:
            flat[name] = value
    return flat


def listed(process: Process) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{process.url}/series").json()["series"]
    return found


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    with serving(variables={"STEPCAST_MODEL": "shampoo"}) as process:
        yield process


@pytest.fixture(scope="module")
def tested() -> dict[str, Any]:
    """The scores of a backtest over the last twelve months."""
    scores: dict[str, Any] = printed("backtest", SHAMPOO, "--model", "shampoo", "--test", "12")
    return scores


# Help and refusals


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_explains_itself_with_an_example(command: str) -> None:
    ended = stepcast(command, "--help")

    assert ended.returncode == 0
    assert f"Example: stepcast {command} " in " ".join(ended.stdout.split())


def test_all_commands_are_listed() -> None:
    ended = stepcast("--help")

    assert tuple(re.findall(r"^│ ([a-z]+)  ", ended.stdout, re.MULTILINE)) == COMMANDS


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("inspect", "nope"), "models/nope/manifest.json: expected a readable file, found .+"),
        (("backtest", "nope.csv", "--model", "shampoo"), "nope.csv: cannot be read: .+"),
        (("backtest", SHAMPOO, "--model", "nope"), "models/nope/manifest.json: expected .+"),
        (("compare", "nope.csv"), "nope.csv: cannot be read: .+"),
        (("compare", SHAMPOO, "--units", "1,x"), "--units: .+, found 'x'"),
        (("compare", SHAMPOO, "--series", "a"), f"{SHAMPOO}: --series: .+'shampoo', found 'a'"),
        (("walk", SHAMPOO, "--url", NOBODY), f"no answer from {NOBODY} .+ running\\?"),
        # With nothing to ask before the seed, the clean-up failed too and hid the reason.
        (("walk", SHAMPOO, "--url", NOBODY, "--season", "1"), f"no answer from {NOBODY} .+"),
        (("walk", SHAMPOO, "--url", "nowhere"), "'nowhere' is no URL: .+"),
        (("walk", SHAMPOO, "--url", "http://[::1"), "'http://\\[::1' is no URL: .+"),
        # What is in brackets was once taken for markup.
        (("inspect", "[/x]"), "models/\\[/x\\]/manifest.json: .+"),
        (("backtest", "a[bold].csv", "--model", "shampoo"), "a\\[bold\\].csv: .+"),
    ],
)
def test_a_refusal_is_one_line(arguments: tuple[str, ...], reason: str) -> None:
    ended = stepcast(*arguments)

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert re.fullmatch(rf"error: {reason}\n", ended.stderr), ended.stderr


@pytest.mark.parametrize(
    "arguments", [(), ("nope",), ("inspect",), ("serve", "--port", "http"), ("backtest", SHAMPOO)]
)
def test_a_call_that_is_none_is_told_the_usage(arguments: tuple[str, ...]) -> None:
    ended = stepcast(*arguments)

    assert ended.returncode == 2
    assert "Usage: " in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_the_service_refuses_is_told_with_its_reason(process: Process) -> None:
    ended = stepcast("walk", SHAMPOO, "--url", process.url, "--model", "nope")

    assert ended.returncode == 1
    assert ended.stderr == (
        "error: POST /seed-state: 404 no model 'nope'; loaded: shampoo, universal\n"
    )


def test_a_file_to_walk_that_cannot_be_read_is_named(process: Process) -> None:
    ended = stepcast("walk", "nope.csv", "--url", process.url)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch("error: nope.csv: cannot be read: .+\n", ended.stderr)


# Settings


def test_flags_go_before_the_environment(tmp_path: Path) -> None:
    write_model(tmp_path / "sales")
    variables = {"STEPCAST_MODELS": str(tmp_path)}

    from_variable = stepcast("inspect", "sales", "--json", variables=variables)
    from_flag = stepcast("inspect", "shampoo", "--json", "--models", "models", variables=variables)

    assert json.loads(from_variable.stdout)["name"] == "sales"
    assert json.loads(from_flag.stdout)["name"] == "shampoo"


def test_flags_of_serve_go_before_the_environment(tmp_path: Path) -> None:
    write_model(tmp_path / "sales")
    variables = {"STEPCAST_MODELS": "nowhere", "STEPCAST_PORT": "1", "STEPCAST_START": "empty"}

    with serving("--models", str(tmp_path), variables=variables) as process:
        models = httpx.get(f"{process.url}/models").json()

    assert models["default"] == "sales"


# Inspect


def test_inspect_prints_the_manifest() -> None:
    manifest = printed("inspect", "shampoo")

    assert manifest == json.loads((ROOT / "models/shampoo/manifest.json").read_text())


def test_inspect_is_read_by_people_too() -> None:
    ended = stepcast("inspect", "shampoo")

    assert ended.returncode == 0
    for shown in ("LSTM [1]", "2 observations before the first forecast", "persistence"):
        assert shown in ended.stdout
    assert ended.stdout.endswith("Every checksum holds, and the golden trace replays.\n")


def test_inspect_shows_what_scores_there_are(tmp_path: Path) -> None:
    """A manifest may say less than `stepcast train` writes; that once ended in a traceback."""
    write_model(tmp_path / "imported")

    ended = stepcast("inspect", "imported", "--models", str(tmp_path))

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "1.5000" in ended.stdout


def test_inspect_shows_covariates(told: Path) -> None:
    ended = stepcast("inspect", "told", "--models", str(told / "models"))

    shown = " ".join(ended.stdout.split())
    assert (
        "covariates temp (past), wind (past: N, S), promo (future), day (future: busy, quiet), "
        "size (static), town (static: Hull, York) freq"
    ) in shown
    assert "covariates none" in " ".join(stepcast("inspect", "shampoo").stdout.split())


def test_inspect_shows_coverage_that_is_not_known(tmp_path: Path) -> None:
    write_model(tmp_path / "unknown")
    manifest = json.loads((tmp_path / "unknown/manifest.json").read_text())
    manifest["scores"]["model"]["coverage"] = {"80": None, "95": 0.5}
    (tmp_path / "unknown/manifest.json").write_text(json.dumps(manifest))

    ended = stepcast("inspect", "unknown", "--models", str(tmp_path))

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "80%: -, 95%: 50%" in ended.stdout


# Train


@pytest.fixture(scope="module")
def poor(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A model fitted far too briefly, and what was written to standard error meanwhile."""
    models = tmp_path_factory.mktemp("models")
    flags = ("--epochs", "1", "--quantiles", "0.1,0.5,0.9", "--difference", "0", "--json")
    ended = stepcast(
        "train", SHAMPOO, "--name", "poor", "--test", "12", "--models", str(models), *flags
    )
    assert ended.returncode == 0, ended.stderr
    json.loads(ended.stdout)
    return models, ended.stderr


WORSE = "warning: {} does better on the held-back part: an RMSE of {} against [0-9.]+\n"


@pytest.mark.slow
def test_training_warns_where_a_baseline_does_better(poor: tuple[Path, str]) -> None:
    assert re.fullmatch(WORSE.format("the universal model as it is", "94.78"), poor[1])


@pytest.mark.slow
def test_a_backtest_warns_where_a_baseline_does_better(poor: tuple[Path, str]) -> None:
    flags = ("--model", "poor", "--models", str(poor[0]), "--test", "12")

    ended = stepcast("backtest", SHAMPOO, *flags)

    assert re.fullmatch(WORSE.format("persistence", "136.8"), ended.stderr)


@pytest.mark.slow
def test_training_tells_of_columns_that_it_does_not_use(tmp_path: Path) -> None:
    rows = [f"2024-01-{day:02},{day % 7 + day / 10},{day % 2},x" for day in range(1, 31)]
    file = tmp_path / "data.csv"
    file.write_text("\n".join(["ds,y,promo,note", *rows]))
    flags = ("--name", "m", "--method", "universal", "--models", str(tmp_path), "--json")

    ended = stepcast("train", str(file), *flags, "--force")
    with_one = stepcast("train", str(file), *flags, "--force", "--future", "promo")

    told = "warning: columns that are not used: {}; --past and --future name those to learn from"
    assert told.format("'promo', 'note'") in ended.stderr.splitlines()
    assert told.format("'note'") in with_one.stderr.splitlines()
    json.loads(with_one.stdout)


@pytest.mark.slow
def test_quantiles_are_a_flag(poor: tuple[Path, str]) -> None:
    manifest = printed("inspect", "poor", "--models", str(poor[0]))

    assert manifest["head"]["quantiles"] == [0.1, 0.5, 0.9]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((SHAMPOO,), "the command line: name: needed, with --name"),
        (("--name", "x"), "the command line: file: needed, as the first argument"),
        (
            (SHAMPOO, "--name", "shampoo"),
            "models/shampoo: expected no model of that name yet, found one; --force replaces it",
        ),
        (
            (SHAMPOO, "--name", "x", "--units", "8,many"),
            "the command line: recipe.units.1: Input should be a valid integer, unable to parse "
            "string as an integer, found 'many'",
        ),
    ],
)
@pytest.mark.slow
def test_training_refuses_in_one_line(arguments: tuple[str, ...], reason: str) -> None:
    ended = stepcast("train", *arguments)

    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"error: {reason}\n")


def test_every_field_of_a_recipe_is_a_flag_that_tells_its_default() -> None:
    ended = stepcast("train", "--help", variables={"COLUMNS": "400"})

    for name in Recipe.model_fields:
        assert re.search(rf"--{name.replace('_', '-')} .*Default: ", ended.stdout), name


# Compare


@pytest.mark.slow
def test_a_comparison_tells_runs_and_verdicts_and_writes_a_report(tmp_path: Path) -> None:
    quick = (
        "--epochs",
        "1",
        "--repeats",
        "3",
        "--units",
        "2,1",
        "--out",
        str(tmp_path / "new/out"),
    )

    ended = stepcast("compare", SHAMPOO, *quick)
    told = printed("compare", SHAMPOO, *quick)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert told["settings"]["units"] == [2, 1]
    assert told["persistence"] == pytest.approx(PERSISTENCE_RMSE, abs=5e-4)
    assert "persistence" in ended.stdout
    for claim in told["claims"]:
        assert claim["sentence"] in ended.stdout
    rows = (tmp_path / "new/out/runs.csv").read_text().splitlines()
    assert rows[0] == "condition,repeat,rmse"
    assert len(rows) == 1 + 3 * len(told["conditions"])
    page = (tmp_path / "new/out/index.html").read_text()
    assert "data:image/png;base64," in page
    assert "http" not in page


def test_a_comparison_on_a_panel_asks_which_series(tmp_path: Path) -> None:
    file = tmp_path / "panel.csv"
    file.write_text("unique_id,y\n" + "".join(f"{name},{n}\n" for n in range(9) for name in "ab"))

    ended = stepcast("compare", str(file))

    assert ended.returncode == 1
    assert ended.stderr == (
        f"error: {file}: expected one series, found 2; --series names the one to compare on, "
        "as --series a\n"
    )


# Backtest and walk


def test_a_backtest_over_what_was_trained_on_says_so() -> None:
    ended = stepcast("backtest", SHAMPOO, "--model", "shampoo", "--test", "14")

    assert ended.stderr == (
        "warning: the model was trained on the first 2 of these 14 steps; "
        "it has not seen the last 12\n"
    )


def test_a_backtest_reports_the_model_beside_its_baselines(tested: dict[str, Any]) -> None:
    assert list(tested) == ["model", "persistence", "seasonal_naive"]
    assert list(tested["model"]) == ["rmse", "mae", "mase", "smape", "coverage", "pinball"]
    assert list(tested["persistence"]) == ["rmse", "mae", "mase", "smape"]
    assert list(tested["model"]["coverage"]) == ["80", "95"]
    assert tested["persistence"]["rmse"] == pytest.approx(PERSISTENCE_RMSE, abs=5e-4)
    assert tested["model"]["rmse"] < tested["persistence"]["rmse"]


def test_a_backtest_finds_the_scores_that_training_wrote(tested: dict[str, Any]) -> None:
    written = json.loads((ROOT / "models/shampoo/manifest.json").read_text())["scores"]

    # The bundled manifest is older than the pinball loss.
    scores = {method: {**found, **written[method]} for method, found in tested.items()}
    assert numbers(tested) == pytest.approx(numbers(scores), abs=TOLERANCE)


PEERS = ("backtest", SHAMPOO, "--model", "shampoo", "--test", "12", "--peers")


@pytest.mark.skipif(find_spec("statsforecast") is not None, reason="statsforecast is installed")
def test_peers_that_are_not_installed_are_told_with_their_remedy() -> None:
    for arguments in (PEERS, ("train", SHAMPOO, "--name", "x", "--peers")):
        ended = stepcast(*arguments)

        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr == (
            "error: --peers needs statsforecast: pip install 'stepcast[peers]'\n"
        )


@pytest.mark.skipif(find_spec("statsforecast") is None, reason="statsforecast is not installed")
def test_peers_are_scored_beside_the_model_and_the_universal_one() -> None:
    scores = printed(*PEERS)
    shown = stepcast(*PEERS)

    methods = scores["peers"]["methods"]
    names = ("universal", "AutoETS", "AutoARIMA", "AutoTheta")
    assert tuple(methods) == ("model", "persistence", "seasonal_naive", *names)
    assert methods["model"] == scores["model"]
    assert methods["AutoARIMA"].keys() == methods["model"].keys()
    for name in names:
        assert name in shown.stdout


def test_a_backtest_is_read_by_people_too() -> None:
    ended = stepcast("backtest", SHAMPOO, "--model", "shampoo")

    assert ended.returncode == 0
    assert "shampoo over the last 3 observations" in ended.stdout
    assert "persistence" in ended.stdout
    assert "80%: " in ended.stdout


def test_a_walk_through_the_service_scores_as_a_backtest(
    process: Process, tested: dict[str, Any]
) -> None:
    walked = printed("walk", SHAMPOO, "--test", "12", "--url", process.url)

    assert numbers(walked) == pytest.approx(numbers(tested), abs=TOLERANCE)


@pytest.mark.slow
def test_a_walk_through_keras_scores_as_a_backtest_by_keras() -> None:
    flags = ("--engine", "keras")
    tested = printed("backtest", SHAMPOO, "--model", "shampoo", "--test", "12", *flags)

    with serving(*flags, "--model", "shampoo") as process:
        walked = printed("walk", SHAMPOO, "--test", "12", "--url", process.url)

    assert numbers(walked) == pytest.approx(numbers(tested), abs=TOLERANCE)


def test_a_walk_shows_its_key_to_a_service_that_asks_for_one() -> None:
    key = "walking-0123456789"
    walk = ("walk", SHAMPOO, "--test", "2", "--json", "--url")
    with serving(variables={"STEPCAST_API_KEYS": key, "STEPCAST_MODEL": "shampoo"}) as process:
        refused = stepcast(*walk, process.url)
        walked = stepcast(*walk, process.url, variables={"STEPCAST_API_KEY": key})

    assert refused.returncode == 1
    assert "401 send a key" in refused.stderr
    assert walked.returncode == 0
    assert key not in refused.stderr + walked.stdout + walked.stderr


def test_a_walk_prints_expected_and_predicted(process: Process) -> None:
    ended = stepcast("walk", SHAMPOO, "--test", "2", "--url", process.url)

    lines = ended.stdout.splitlines()
    number = r"[\d,]+\.\d{4}"
    for line, month, y in zip(lines, ("11", "12"), ("581.3000", "646.9000"), strict=False):
        assert re.fullmatch(
            rf"shampoo 1903-{month}-01T00:00:00Z: expected {y}, predicted {number}", line
        )


COVARIATES = (
    Covariate(name="temp", kind=Kind.PAST),
    Covariate(name="wind", kind=Kind.PAST, categories=("N", "S")),
    Covariate(name="promo", kind=Kind.FUTURE),
    Covariate(name="day", kind=Kind.FUTURE, categories=("busy", "quiet")),
    Covariate(name="size", kind=Kind.STATIC, mean=10.0, scale=4.0),
    Covariate(name="town", kind=Kind.STATIC, categories=("Hull", "York")),
)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that has covariates, and files of series that have them.

    Of values, covariates and days some are missing.
    """
    folder = tmp_path_factory.mktemp("told")
    write_model(folder / "models/told", covariates=COVARIATES)
    rng = np.random.default_rng(0)
    rows = ["unique_id,ds,note,temp,wind,promo,day,y"]
    for name in ("a", "b"):
        x = draw_covariates(COVARIATES[:4], 40, len(rows))
        cells = [Covariates(COVARIATES[:4]).write(one).values() for one in x]
        for at, y in enumerate(rng.normal(size=40).cumsum().tolist()):
            texts = ["" if cell is None else str(cell) for cell in cells[at]]
            day = f"2024-{1 + at // 28:02}-{1 + at % 28:02}"
            if at not in (13, 35):
                rows.append(",".join([name, day, "x", *texts, "" if at in (9, 33) else f"{y}"]))
    (folder / "data.csv").write_text("\n".join(rows))
    (folder / "static.csv").write_text("unique_id,size,town\nb,,Hull\na,14,York\n")
    return folder


@pytest.fixture(scope="module")
def telling(told: Path) -> Iterator[Process]:
    with serving("--models", str(told / "models")) as process:
        yield process


@pytest.mark.parametrize("on_gap", ["skip", "fill"])
def test_a_walk_with_covariates_scores_as_a_backtest(
    telling: Process, told: Path, on_gap: str
) -> None:
    flags = ("--test", "10", "--static", str(told / "static.csv"), "--on-gap", on_gap, "--json")
    of_model = ("--model", "told", "--models", str(told / "models"))

    tested = stepcast("backtest", str(told / "data.csv"), *of_model, *flags)
    walked = stepcast("walk", str(told / "data.csv"), "--url", telling.url, *flags)

    assert (tested.returncode, walked.returncode) == (0, 0), walked.stderr
    scores = numbers(json.loads(tested.stdout))
    assert scores["model.rmse"] > 0
    assert (
        "warning: columns that are not used: 'note'; a model learns from those that "
        "`train --past --future` names\n"
    ) in tested.stderr
    assert numbers(json.loads(walked.stdout)) == pytest.approx(scores, rel=TOLERANCE)


def test_a_walk_asks_for_what_the_model_is_told(
    telling: Process, told: Path, tmp_path: Path
) -> None:
    without = tmp_path / "without.csv"
    without.write_text((told / "data.csv").read_text().replace("promo", "offer", 1))
    walk = ("--url", telling.url, "--test", "10")

    no_file = stepcast("walk", str(told / "data.csv"), *walk)
    no_column = stepcast("walk", str(without), *walk, "--static", str(told / "static.csv"))

    assert "static covariate 'size': expected a table" in no_file.stderr
    assert "--static names its file" in no_file.stderr
    assert "expected a column 'promo', found 'unique_id'" in no_column.stderr


def test_covariates_of_a_later_service_are_told_in_one_sentence() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/models":
            return httpx.Response(200, json={"status": "ready", "models": ["m"]})
        model = {"name": "m", "covariates": [{"name": "temp", "kind": "hourly"}]}
        return httpx.Response(200, json={"models": [model], "default": "m"})

    with (
        Client("http://service", transport=httpx.MockTransport(answer)) as client,
        pytest.raises(StepcastError, match=r"GET /models: covariates\.0\.kind: .* later Stepcast"),
    ):
        find_covariates(client, None)


def test_a_walk_leaves_the_service_as_it_was(process: Process) -> None:
    before = listed(process)

    printed("walk", SHAMPOO, "--test", "12", "--url", process.url)

    assert before
    assert listed(process) == before


def test_a_walk_cleans_up_after_series_of_any_name(process: Process, tmp_path: Path) -> None:
    """A name with a question mark was once cut there, and another series deleted."""
    names = ["a?b", "a/b", "100%", "[/]", "a#b", "ä"]
    rows = [f"{name},2024-{month:02}-01,{month}" for name in names for month in range(1, 7)]
    file = tmp_path / "names.csv"
    file.write_text("\n".join(["unique_id,ds,y", *rows]))
    body = {"unique_id": "walk:a", "y": 1.0}
    httpx.post(f"{process.url}/observe", json=body).raise_for_status()
    before = listed(process)

    ended = stepcast("walk", str(file), "--test", "2", "--url", process.url)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert listed(process) == before


def test_a_walk_may_keep_its_series_at_their_end() -> None:
    with serving(variables={"STEPCAST_MODEL": "shampoo"}) as process:
        printed("walk", SHAMPOO, "--test", "12", "--url", process.url, "--keep")

        (kept,) = listed(process)
        assert (kept["unique_id"], kept["step"]) == ("shampoo", 36)
        assert kept["ds"] == "1903-12-01T00:00:00Z"


# The universal model

TINY = """
units = 3
rounds = 2
batch = 4
window = 10
[series]
20 = 8
"""


@pytest.mark.slow
def test_a_universal_model_is_made_and_serves(tmp_path: Path) -> None:
    config, models = tmp_path / "tiny.toml", tmp_path / "models"
    config.write_text(TINY)
    where = ("--models", str(models), "--checkpoint", str(tmp_path / "run.npz"))

    made = printed("pretrain", "--config", str(config), "--name", "tiny", *where)
    again = stepcast("pretrain", "--config", str(config), "--name", "tiny", *where)

    assert set(made) == {"loss", "val_loss"}
    assert not (tmp_path / "run.npz").exists()
    assert again.returncode == 1
    assert "--force replaces it" in again.stderr
    with serving("--models", str(models)) as process:
        for y in (1.0, 2.0):
            answer = httpx.post(f"{process.url}/observe", json={"unique_id": "a", "y": y})
    assert answer.json()["next"]["mean"] == pytest.approx(2.0, abs=2.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("units = 0", "units: Input should be greater than or equal to 1, found 0"),
        ("layers = 2", "layers: Extra inputs are not permitted"),
        ("[series]\n2 = 8", "series.2"),
        ("units =", "expected a TOML file"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused_in_one_line(
    tmp_path: Path, text: str, reason: str
) -> None:
    config = tmp_path / "odd.toml"
    config.write_text(text)

    ended = stepcast("pretrain", "--config", str(config), "--models", str(tmp_path))

    assert ended.returncode == 1
    assert reason in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_the_universal_model_is_walked_over_a_file_that_it_never_saw() -> None:
    scores = printed("backtest", SHAMPOO, "--model", "universal", "--test", "12")

    assert scores["model"]["rmse"] < 0.8 * scores["persistence"]["rmse"]
    assert scores["seasonal_naive"]["rmse"] != scores["persistence"]["rmse"]


def test_a_season_that_is_named_goes_before_the_one_that_times_tell() -> None:
    walk = ("backtest", SHAMPOO, "--model", "universal", "--test", "12")

    without, with_one = printed(*walk, "--season", "1"), printed(*walk)

    assert without["model"]["rmse"] != with_one["model"]["rmse"]
    assert printed(*walk, "--season", "12") == with_one


def test_a_backtest_scores_each_step_ahead() -> None:
    walk = ("backtest", SHAMPOO, "--model", "universal", "--test", "12", "--h", "3")

    scores, shown = printed(*walk), stepcast(*walk)

    assert [row["h"] for row in scores["ahead"]] == [1, 2, 3]
    assert scores["ahead"][0]["rmse"] == pytest.approx(scores["model"]["rmse"])
    assert "by steps ahead" in shown.stdout
    assert f"{scores['ahead'][2]['rmse']:,.4f}" in shown.stdout
