"""The service keeps to its OpenAPI document, whatever is sent that the document allows or not.

Schemathesis makes calls out of the document, right ones and wrong ones, and holds every answer
against it: status, headers, content type and body.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from pydantic import SecretStr
from schemathesis.config import SchemathesisConfig

from app.main import create_app
from app.settings import Settings
from tests.app.running import Process, serving
from tests.forecaster.fakes import write_model

KEY = "a-key-of-this-test-alone"
# Building the application loads nothing.
DOCUMENT = create_app(Settings(api_keys=SecretStr(KEY), store="memory")).openapi()
ACCEPTED = ["2xx", "401", "403", "404", "409", "412", "422", "429"]
CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 5,
        "operations": [
            {
                "include-method": ["POST", "PUT"],
                "checks": {"positive_data_acceptance": {"expected-statuses": ACCEPTED}},
            },
            {
                "include-path-regex": "/batch$",  # a row that is not valid is refused in the answer
                "checks": {
                    "positive_data_acceptance": {"expected-statuses": ACCEPTED},
                    "negative_data_rejection": {"expected-statuses": ["2xx", "4xx"]},
                },
            },
        ],
    }
)
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A real service with a few series, named as in the document's examples."""
    folder = tmp_path_factory.mktemp("contract")
    write_model(folder / "models" / "shampoo", freq="MS")
    variables = {
        "STEPCAST_MODELS": str(folder / "models"),
        "STEPCAST_STORE": f"sqlite:///{folder}/s.db",
        "STEPCAST_API_KEYS": KEY,
    }
    with serving(variables=variables) as process:
        yield process


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def test_the_document_is_the_one_that_is_served(process: Process) -> None:
    assert httpx.get(f"{process.url}/openapi.json").json() == DOCUMENT


@SCHEMA.parametrize()
@settings(
    max_examples=100, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
def test_every_call_is_answered_as_documented(
    case: schemathesis.Case[Any], process: Process, session: requests.Session
) -> None:
    authorization = {"Authorization": f"Bearer {KEY}"}
    case.call_and_validate(base_url=process.url, session=session, headers=authorization)
