"""The examples of docs/client.md, executed in order against a real service."""

import doctest
import re
from pathlib import Path

from forecaster.spec import Covariate, Kind
from stepcast import client
from tests.app.running import serving
from tests.forecaster.fakes import write_model

PAGE = Path(__file__).parents[1] / "docs" / "client.md"


def test_every_example_prints_what_the_page_says(tmp_path: Path) -> None:
    variables = {"STEPCAST_STORE": f"sqlite:///{tmp_path}/series.db"}
    covariates = Covariate(name="rain", kind=Kind.PAST), Covariate(name="promo", kind=Kind.FUTURE)
    write_model(tmp_path / "models/shops", freq="D", covariates=covariates)
    of_shops = ("--models", str(tmp_path / "models"))
    with (
        serving(variables=variables) as process,
        serving(*of_shops, variables={"STEPCAST_STORE": f"sqlite:///{tmp_path}/told.db"}) as other,
    ):
        text = PAGE.read_text().replace("http://127.0.0.1:8000", process.url)
        text = text.replace("http://127.0.0.1:8001", other.url)
        blocks = "\n".join(re.findall(r"```pycon\n(.*?)```", text, re.DOTALL))
        examples = doctest.DocTestParser().get_doctest(blocks, {}, PAGE.name, str(PAGE), 0)
        told: list[str] = []

        result = doctest.DocTestRunner(verbose=False).run(examples, out=told.append)

    assert result.attempted > 20
    assert result.failed == 0, "".join(told)


def test_the_page_names_every_call_and_error() -> None:
    page = PAGE.read_text()
    calls = [name for name in vars(client.Client) if not name.startswith("_")]
    errors = [name for name in client.__all__ if name.endswith("Error")]

    for name in [*calls, *errors]:
        assert re.search(rf"\b{name}\b", page), name
