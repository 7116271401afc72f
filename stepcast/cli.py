"""The command line. Each command imports what it needs, so `serve` never loads TensorFlow."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from forecaster.cursor import OnGap
from forecaster.errors import ForecastError
from forecaster.model import Engine
from forecaster.spec import QUANTILES
from stepcast.options import (
    File,
    FreqOption,
    Gap,
    GapChoice,
    Gates,
    Id,
    Json,
    Models,
    PolicyChoice,
    Season,
    Static,
    Target,
    Time,
    WithPeers,
    given,
    read_baseline_season,
    read_columns,
    read_numbers,
    read_on_gap,
    read_told_season,
)
from stepcast.printing import (
    described,
    loading_tensorflow,
    messages,
    output,
    print_ahead,
    print_json,
    print_peers,
    print_refusal,
    print_scores,
    print_seeds,
    warn,
    warn_of_baselines,
    warn_of_columns,
    warn_of_data_trained_on,
    warn_of_gaps,
)
from training.recipe import Loss, Method, Optimizer, Scale, read_job

if TYPE_CHECKING:
    from training.peers import Peers

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="One-step-ahead forecasts from a stateful LSTM: train a model, serve it, walk it forward.",
)


def main() -> None:
    """Run the command line; a refusal is one line on standard error and exit status 1."""
    try:
        app()
    except ForecastError as error:
        print_refusal(str(error))
        raise SystemExit(1) from None
    except ImportError as error:
        if error.name is None or error.name.split(".")[0] not in _EXTRAS:
            raise
        extra = _EXTRAS[error.name.split(".")[0]]
        print_refusal(
            f"this command needs {error.name}: run `make setup`, or pip install 'stepcast[{extra}]'"
            if extra != "peers"
            else f"--peers needs {error.name}: pip install 'stepcast[peers]'"
        )
        raise SystemExit(1) from None
    except OSError as error:  # of a disk or a folder: a report, a checkpoint
        print_refusal(": ".join(str(part) for part in (error.filename, error.strerror) if part))
        raise SystemExit(1) from None


_EXTRAS = {
    "httpx": "client",
    "pandas": "client",
    "jinja2": "training",
    "joblib": "training",
    "keras": "training",
    "matplotlib": "training",
    "mlflow": "mlflow",
    "scipy": "training",
    "sklearn": "training",
    "statsforecast": "peers",
    "tensorflow": "training",
}


@app.command(
    epilog="Example: `stepcast train sales.csv --name sales --test 12`",
)
def train(
    file: Annotated[Path | None, typer.Argument(help="CSV, .csv.gz or Parquet.")] = None,
    name: Annotated[str | None, typer.Option(help="The model's name.")] = None,
    test: Annotated[
        int | None,
        typer.Option(
            min=1, help="Observations of each series held back; by default a tenth of the shortest."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file with all of this; flags given here go before it."),
    ] = None,
    models: Models = Path("models"),
    force: Annotated[bool, typer.Option("--force", help="Replace a model of that name.")] = False,
    id_column: Id = None,
    time_column: Time = None,
    target_column: Target = None,
    freq: FreqOption = None,
    season: Season = None,
    past: Annotated[
        str | None,
        typer.Option(help="Covariates known with each observation: columns, as temp,wind."),
    ] = None,
    future: Annotated[
        str | None,
        typer.Option(help="Covariates known before it: columns, as holiday,price."),
    ] = None,
    static: Static = None,
    on_gap: Annotated[
        GapChoice | None,
        typer.Option(
            help="Where the file leaves steps out: go on, put missing values there, or refuse it. "
            "Default: skip."
        ),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option(
            help="universal: the bundled model as it is. tuned: it goes on learning on these "
            "series. auto: the better of both on the end of the history. plain: a network of new "
            "weights. Default: auto, or plain where a flag or the file says how that is made."
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="How long tuning may take, as 5m or 1h. Default: 10m."),
    ] = None,
    difference: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Learn changes from the value so many steps before; 0 for the values themselves. "
            "Default: 1.",
        ),
    ] = None,
    scale: Annotated[
        Scale | None,
        typer.Option(
            help="One range for all series, or each by the running size of its changes. "
            "Default: auto, which is minmax for one series and running for several."
        ),
    ] = None,
    units: Annotated[
        str | None,
        typer.Option(help="LSTM units of each layer, as 32 or 64,32. Default: 1; large: 32."),
    ] = None,
    policy: Annotated[
        PolicyChoice | None,
        typer.Option(
            help="Whether state is carried from step to step; auto tries both on the end of the "
            "history. Default: carry."
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Streams trained side by side. Default: 1; large: 32."),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps through which the gradient runs. Default: 1; large: 24, or 1 where the "
            "policy is reset_each_step.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Passes over the data at most. Default: as many as make 22,000 updates, up to "
            "1000; large: 200.",
        ),
    ] = None,
    optimizer: Annotated[
        Optimizer | None, typer.Option(help="Optimiser of Keras. Default: adam.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="The optimiser's step size. Default: 0.001; large: 0.003.")
    ] = None,
    clip_norm: Annotated[
        float | None, typer.Option(help="Largest gradient norm; 0 for no limit. Default: 1.")
    ] = None,
    loss: Annotated[
        Loss | None,
        typer.Option(
            help="What the fit makes small; quantiles learns the intervals too. Default: mse; "
            "large: quantiles."
        ),
    ] = None,
    quantiles: Annotated[
        str | None,
        typer.Option(
            help="Quantile levels that the model gives, as 0.1,0.5,0.9. Default: "
            f"{len(QUANTILES)} from {QUANTILES[0]} to {QUANTILES[-1]}."
        ),
    ] = None,
    validation: Annotated[
        float | None,
        typer.Option(
            help="Share of the training part, at its end, held back to stop by; 0 for none. "
            "Default: 0.2, or none where that is below 20 steps."
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Epochs without a better validation loss to stop. Default: 20."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Fixes the initial weights. Default: 1.")
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(min=0, help="Further seeds, for the spread of the score. Default: 0."),
    ] = None,
    with_peers: WithPeers = False,
    as_json: Json = False,
) -> None:
    """Learn the series of a file, and write the model with its report.

    Without a flag the bundled universal model is tuned to them, for as long as that forecasts the
    end of the history better; a few hundred observations leave it as it is. Flags from --difference
    on make a plain network of new weights: where a default says `large`, that one is taken from 400
    training steps on.
    """
    changes = {
        "file": file,
        "name": name,
        "test": test,
        "id_column": id_column,
        "time_column": time_column,
        "target_column": target_column,
        "freq": freq,
        "season": season,
        "past": None if past is None else read_columns(past),
        "future": None if future is None else read_columns(future),
        "static": static,
        "on_gap": read_on_gap(on_gap) if on_gap else None,
        "method": method,
        "budget": budget,
    }
    recipe = {
        "difference": difference,
        "scale": scale,
        "units": units and read_numbers(units, int),
        "policy": policy and policy.value,
        "batch": batch,
        "window": window,
        "epochs": epochs,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "clip_norm": clip_norm,
        "loss": loss,
        "quantiles": quantiles and read_numbers(quantiles, float),
        "validation": validation,
        "patience": patience,
    }
    seeds = {"seed": seed, "repeats": repeats}
    job = read_job(config, given(changes), given(recipe), given(seeds))
    peers = _find_peers(with_peers)
    with loading_tensorflow():
        from training.job import train
    from stepcast.progress import TrainingProgress

    with TrainingProgress(messages) as progress:
        trained = train(
            job,
            models,
            replace=force,
            peers=peers,
            on_epoch=progress.on_epoch,
            on_stage=progress.on_stage,
        )
    warn_of_gaps(trained.gaps, job.on_gap)
    warn_of_columns(trained.unused, "--past and --future name those to learn from")
    warn_of_baselines(trained.scores)
    if as_json:
        print_json(trained.scores)
        return
    for one in trained.tried:
        found = "" if one.loss is None else f": loss {one.loss:.4f}"
        output.print(f"Tried {one.name}{found}{', ' + one.verdict if one.verdict else ''}.")
    print_scores(trained.scores, f"{job.name}: the last {trained.steps} observations")
    print_peers(trained.scores)
    print_seeds(trained)
    folder = escape(str(trained.folder))
    output.print(
        f"Model and report are in {folder}/; serve it with `stepcast serve`.", soft_wrap=True
    )


@app.command(epilog="Example: `stepcast pretrain --config examples/recipes/universal.toml --force`")
def pretrain(
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file with the recipe; flags given here go before it."),
    ] = None,
    name: Annotated[str, typer.Option(help="The model's name.")] = "universal",
    models: Models = Path("models"),
    force: Annotated[bool, typer.Option("--force", help="Replace a model of that name.")] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Where the run is kept, and goes on from if it was cut off. "
            "Default: var/pretrain-NAME.npz."
        ),
    ] = None,
    units: Annotated[int | None, typer.Option(min=1, help="LSTM units. Default: 64.")] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Rounds of fresh series, about 3 s each. Default: 200."),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="AdamW's step size at its highest. Default: 0.003.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Fixes series and initial weights. Default: 1.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a universal model, on generated series alone: it forecasts any series as it is.

    Run it again to go on after an interruption.
    """
    from forecaster.artifact import check_free
    from training.rounds import read_recipe

    changes = {"units": units, "rounds": rounds, "learning_rate": learning_rate, "seed": seed}
    recipe = read_recipe(config, given(changes))
    folder = models / name
    check_free(folder, replace=force)
    with loading_tensorflow():
        from training.pretrain import pretrain, publish
    from stepcast.progress import TrainingProgress

    kept = checkpoint or Path("var") / f"pretrain-{name}.npz"
    with TrainingProgress(messages) as progress:
        progress.on_stage("Making the first series")
        try:
            network, losses = pretrain(
                recipe,
                kept,
                on_round=lambda number, losses: progress.show(number, recipe.rounds, losses),
            )
        except KeyboardInterrupt:
            messages.print(f"Stopped. The same command goes on from {escape(str(kept))}.")
            raise typer.Exit(130) from None
        progress.on_stage("Writing the model")
        manifest = publish(network, recipe, losses, folder, replace=force)
    kept.unlink()
    if as_json:
        print_json(manifest.scores)
        return
    output.print(
        f"Loss on generated series that it never saw: {losses['val_loss']:.4f}. The model is in "
        f"{escape(str(folder))}/; serve it with `stepcast serve`.",
        soft_wrap=True,
    )


@app.command(epilog="Example: `stepcast backtest sales.csv --model sales --test 12`")
def backtest(
    file: File,
    model: Annotated[str, typer.Option(help="The model's name.")],
    test: Annotated[
        int | None,
        typer.Option(min=1, help="Observations of each series to walk; a tenth by default."),
    ] = None,
    models: Models = Path("models"),
    engine: Annotated[Engine, typer.Option(envvar="STEPCAST_ENGINE")] = Engine.NUMPY,
    id_column: Id = None,
    time_column: Time = None,
    target_column: Target = None,
    freq: FreqOption = None,
    season: Season = None,
    static: Static = None,
    on_gap: Gap = GapChoice.SKIP,
    h: Annotated[
        int, typer.Option(min=1, help="Score forecasts of up to so many steps ahead, each alone.")
    ] = 1,
    with_peers: WithPeers = False,
    as_json: Json = False,
) -> None:
    """Walk a model over the end of a file, beside persistence and the seasonal naive forecast."""
    peers = _find_peers(with_peers)
    from forecaster import artifact
    from stepcast.progress import step_progress
    from training.backtest import (
        backtest,
        check_horizon,
        default_test,
        seasons_of,
        usual_season,
        walk_ahead,
    )
    from training.data import read_panel

    with loading_tensorflow() if engine is Engine.KERAS else nullcontext():
        loaded = artifact.load(models / model, engine)
    panel = read_panel(
        file,
        id_column=id_column,
        time_column=time_column,
        target_column=target_column,
        freq=freq,
        on_gap=read_on_gap(on_gap),
        covariates=loaded.manifest.covariates,
        static=static,
    )
    warn_of_gaps(panel.gaps, read_on_gap(on_gap))
    warn_of_columns(panel.unused, "a model learns from those that `train --past --future` names")
    history, held_back = panel.split(test or default_test(panel), file)
    check_horizon(h, held_back)
    warn_of_data_trained_on(loaded.manifest, panel, len(held_back.series[0]))
    told = read_told_season(season)
    seasons = seasons_of(history, loaded.season if told is None else told)
    baseline_season = read_baseline_season(season) or usual_season(loaded.manifest, panel)
    with step_progress(messages, "Walking forward") as progress:
        walk = backtest(
            loaded.forecaster,
            history,
            held_back,
            season=baseline_season,
            seasons=seasons,
            progress=progress,
        )
    scores = walk.summary()
    ahead = []
    if h > 1:
        with step_progress(messages, f"Forecasting {h} steps each time") as progress:
            ahead = walk_ahead(
                loaded.forecaster, history, held_back, h, seasons=seasons, progress=progress
            )
    compared = {}
    if peers is not None:
        with loading_tensorflow():
            from training.standing import find_universal, walk_as_it_is
        from training.peers import compare

        universal = find_universal(models)
        beside = None
        if universal is not None and universal.name != model:
            beside = walk_as_it_is(universal, history, held_back, baseline_season, told)
        with step_progress(messages, "Fitting peers") as progress:
            compared = {"peers": compare(walk, beside, peers, progress)}
    warn_of_baselines(scores)
    if as_json:
        print_json(scores | ({"ahead": ahead} if ahead else {}) | compared)
        return
    print_scores(scores, f"{model} over the last {walk.steps} observations of {file}")
    if ahead:
        print_ahead(ahead)
    print_peers(compared)


@app.command(epilog="Example: `stepcast compare sales.csv --test 12 --repeats 100`")
def compare(
    file: File,
    test: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Observations walked at the end. Default: a tenth, but 12 at least and a third "
            "at most.",
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option(min=2, help="Networks trained for each condition, all at once.")
    ] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Fixes weights and shuffles.")] = 1,
    units: Annotated[str, typer.Option(help="LSTM units of each layer, as 1 or 8,4.")] = "1",
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Default: as many as make 22,000 updates of one sample, up to 1000."
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1, help="Rows of the two conditions that train with more than one. Default: 12."
        ),
    ] = None,
    lag: Annotated[
        int, typer.Option(min=1, help="How many of the last changes are shown at each step.")
    ] = 1,
    difference: Annotated[
        int,
        typer.Option(
            min=0, help="Changes from the value so many steps before; 0 for the values themselves."
        ),
    ] = 1,
    recurrent_activation: Annotated[
        Gates, typer.Option(help="Of the gates; hard_sigmoid is that of Keras 2.")
    ] = Gates.SIGMOID,
    series: Annotated[
        str | None, typer.Option(help="Which series, where the file has several.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the report. Default: var/compare/ and the file's name."),
    ] = None,
    id_column: Id = None,
    time_column: Time = None,
    target_column: Target = None,
    as_json: Json = False,
) -> None:
    """Does carrying state help on this series? Compare twelve ways to reset, seed and shuffle.

    Each is trained from many initial weights, and each claim gets a verdict with its p value. An
    interrupt (Ctrl-C) keeps the conditions that are done.
    """
    from training.data import read_panel
    from training.settings import pick, read_settings, settle

    panel = read_panel(
        file, id_column=id_column, time_column=time_column, target_column=target_column
    )
    picked = pick(panel, series, file)
    settings = read_settings(
        {
            "test": test,
            "repeats": repeats,
            "seed": seed,
            "units": read_numbers(units, int),
            "epochs": epochs,
            "batch": batch,
            "lag": lag,
            "difference": difference,
            "recurrent_activation": recurrent_activation.value,
        }
    )
    settled = settle(settings, picked)
    with loading_tensorflow():
        from stepcast.compare import print_comparison, write
        from training.compare import compare
        from training.comparison import tell
        from training.verdicts import judge
    from stepcast.progress import step_progress

    warn_of_gaps(panel.gaps, OnGap.SKIP)
    with step_progress(messages, "Training: epochs of all conditions") as progress:
        comparison = compare(picked, settled, on_epochs=progress)
    verdicts = judge(comparison.rmse)
    folder = out or Path("var", "compare", file.name.split(".")[0])
    write(comparison, verdicts, folder)
    if as_json:
        print_json(tell(comparison, verdicts))
    else:
        print_comparison(comparison, verdicts, folder, output)
    if not comparison.is_whole:
        messages.print("Stopped: only what was done is in the table.")
        raise typer.Exit(130)


@app.command(epilog="Example: `stepcast serve --port 8080`")
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on.")] = None,
    models: Annotated[Path | None, typer.Option(help="The folder of model folders.")] = None,
    model: Annotated[str | None, typer.Option(help="The default model.")] = None,
    engine: Annotated[Engine | None, typer.Option(help="What does the steps.")] = None,
    api_keys_file: Annotated[
        Path | None,
        typer.Option(help="A file of API keys, one a line: read:KEY, or write:KEY."),
    ] = None,
    allow_anonymous: Annotated[
        bool | None,
        typer.Option("--allow-anonymous", help="Answer more than this machine without a key."),
    ] = None,
) -> None:
    """Serve the models of a folder over HTTP. Every flag is also a STEPCAST_* variable."""
    from app.server import serve
    from app.settings import read_settings

    changes = {
        "host": host,
        "port": port,
        "models": models,
        "model": model,
        "engine": engine,
        "api_keys_file": api_keys_file,
        "allow_anonymous": allow_anonymous,
    }
    serve(read_settings(given(changes)))


@app.command(epilog="Example: `stepcast walk sales.csv --test 12 --url http://127.0.0.1:8000`")
def walk(
    file: File,
    test: Annotated[
        int | None,
        typer.Option(min=1, help="Observations of each series to walk; a tenth by default."),
    ] = None,
    url: Annotated[str, typer.Option(help="Where the service is.")] = "http://127.0.0.1:8000",
    model: Annotated[str | None, typer.Option(help="The model; the service's by default.")] = None,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="STEPCAST_API_KEY", help="A key that may write, where one is needed."),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Walk under the series' own names and leave them there."),
    ] = False,
    id_column: Id = None,
    time_column: Time = None,
    target_column: Target = None,
    freq: FreqOption = None,
    season: Season = None,
    static: Static = None,
    on_gap: Gap = GapChoice.SKIP,
    as_json: Json = False,
) -> None:
    """Replay a file against a running service and print expected and predicted.

    Each series is seeded with what comes before the test, under a name of its own that is removed
    at the end, so nothing that the service keeps is touched.
    """
    from stepcast.client import Client
    from stepcast.walk import find_covariates, walk
    from training.backtest import default_test
    from training.data import read_panel

    with Client(url, model=model, api_key=api_key) as client:
        panel = read_panel(
            file,
            id_column=id_column,
            time_column=time_column,
            target_column=target_column,
            freq=freq,
            on_gap=read_on_gap(on_gap),
            covariates=find_covariates(client, model),
            static=static,
        )
        warn_of_gaps(panel.gaps, read_on_gap(on_gap))
        history, held_back = panel.split(test or default_test(panel), file)
        walked = walk(
            client,
            history,
            held_back,
            model=model,
            keep=keep,
            season=read_baseline_season(season),
            lines=None if as_json else output,
        )
    scores = walked.summary()
    if as_json:
        print_json(scores)
    else:
        print_scores(scores, f"{url} over the last {walked.steps} observations of {file}")


@app.command(
    "import",
    epilog="Example: `stepcast import model.keras --scaler scaler.json --data sales.csv "
    "--difference 1 --name sales`",
)
def import_(
    network: Annotated[Path, typer.Argument(help="A Sequential of LSTM layers and a Dense one.")],
    scaler: Annotated[
        Path,
        typer.Option(
            help="A MinMaxScaler or StandardScaler: .joblib, which is code that this runs, or "
            ".json with data_min, data_max, feature_min, feature_max."
        ),
    ],
    data: Annotated[Path, typer.Option(help="Series like those that it will be asked for.")],
    name: Annotated[str, typer.Option(help="The model's name.")],
    difference: Annotated[
        int,
        typer.Option(
            min=0,
            max=100_000,
            help="The lag of the difference that was taken before scaling; 0 for none.",
        ),
    ] = 0,
    test: Annotated[
        int | None,
        typer.Option(min=1, help="Observations of each series to walk; a tenth by default."),
    ] = None,
    models: Models = Path("models"),
    force: Annotated[bool, typer.Option("--force", help="Replace a model of that name.")] = False,
    id_column: Id = None,
    time_column: Time = None,
    target_column: Target = None,
    freq: FreqOption = None,
    season: Season = None,
    on_gap: Gap = GapChoice.SKIP,
    as_json: Json = False,
) -> None:
    """Make a model folder of a network that you fitted with Keras, and of its scaler.

    It is checked against your own network. Intervals rest on how far it was off before the test.
    """
    from training.data import read_panel

    if scaler.suffix == ".joblib":
        warn(f"{scaler}: a .joblib file is code, which runs now; read none that is not your own")
    panel = read_panel(
        data,
        id_column=id_column,
        time_column=time_column,
        target_column=target_column,
        freq=freq,
        on_gap=read_on_gap(on_gap),
    )
    warn_of_gaps(panel.gaps, read_on_gap(on_gap))
    with loading_tensorflow():
        from training.foreign import read_network, read_scaler
        from training.imported import import_model
    made = import_model(
        read_network(network),
        read_scaler(scaler),
        panel,
        models / name,
        difference=difference,
        test=test,
        season=read_baseline_season(season),
        on_gap=read_on_gap(on_gap),
        file=data.name,
        replace=force,
    )
    scores = made.walk.summary()
    warn_of_baselines(scores)
    if as_json:
        print_json(scores)
        return
    print_scores(scores, f"{name} over the last {made.walk.steps} observations of {data}")
    output.print(
        f"It is your network to {made.parity:.0e}, with the policy {made.policy.value}. The model "
        f"is in {escape(str(made.folder))}/; serve it with `stepcast serve`.",
        soft_wrap=True,
    )


@app.command(epilog="Example: `stepcast inspect shampoo`")
def inspect(
    model: Annotated[str, typer.Argument(help="The model's name.")],
    models: Models = Path("models"),
    as_json: Json = False,
) -> None:
    """Check a model folder, every file of it, and print what it is."""
    from forecaster import artifact

    manifest = artifact.load(models / model).manifest
    if as_json:
        print_json(manifest.model_dump(mode="json"))
        return
    table = Table("", model, box=None, show_header=False, pad_edge=False)
    network = manifest.network
    for name, value in {
        "model": f"{manifest.name}, fingerprint {manifest.fingerprint}, format {manifest.format}",
        "network": f"{network.features} in, LSTM {list(network.units)}, {network.outputs} out",
        "head": manifest.head.kind,
        "transform": ", ".join(f"{k} {v}" for k, v in manifest.transform.model_dump().items()),
        "policy": manifest.policy.value,
        "covariates": ", ".join(map(described, manifest.covariates)) or "none",
        "freq": manifest.freq or "none",
        "gaps": manifest.on_gap.value,
        "season": manifest.season,
        "context": f"{manifest.context} observations before the first forecast",
        "data": ", ".join(f"{key} {value}" for key, value in manifest.data.items()),
        "libraries": ", ".join(f"{key} {value}" for key, value in manifest.libraries.items()),
        "files": ", ".join(manifest.files),
    }.items():
        table.add_row(f"[bold]{name}[/]", escape(str(value)))
    output.print(table)
    print_scores(manifest.scores, "Scores on the held-back observations")
    output.print("Every checksum holds, and the golden trace replays.")


def _find_peers(wanted: bool) -> "Peers | None":
    """Return the peers, if they are wanted: that they are missing is told before the work."""
    if not wanted:
        return None
    from training.peers import find_peers

    return find_peers()


if __name__ == "__main__":
    main()
