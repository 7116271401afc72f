"""What watches the service asks for metrics, labels and files that there are."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.app.running import running
from tests.forecaster.fakes import write_model

REPOSITORY = Path(__file__).parents[1]
DEPLOY = REPOSITORY / "deploy"

SELECTOR = re.compile(r"\b((?:stepcast|process)_\w+|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r"""(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)\"""")
GROUPING = re.compile(r"\b(?:by|ignoring)\s*\(([^)]*)\)")
# Prometheus gives these to each sample itself.
OWN_LABELS = {"job", "instance"}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (DEPLOY / "grafana" / "dashboards" / "stepcast.json").read_text()
    )
    return found


def expressions() -> dict[str, str]:
    """Return every expression, by where it stands."""
    found = {f"alert {one['alert']}": one["expr"] for one in rules()}
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            found[f"variable {variable['name']}"] = variable["query"]["query"]
    return found


EXPRESSIONS = expressions()


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, set[str]]]:
    """Return the values of each label of each sample of a real answer, by the sample's name."""
    folder = tmp_path_factory.mktemp("deploy")
    write_model(folder / "models" / "plain")
    with running(folder / "models", store=f"sqlite:///{folder}/s.db") as service:
        for y in (3.0, 4.0, 2.5):
            service.post("/observe", unique_id="a", y=y)
        text = service.client.get("/metrics").text
    found: dict[str, dict[str, set[str]]] = {"up": {}}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_metric_and_label_asked_for_is_told(
    where: str, samples: dict[str, dict[str, set[str]]]
) -> None:
    expression = EXPRESSIONS[where]
    selectors = SELECTOR.findall(expression)

    assert selectors
    known = set(OWN_LABELS)
    for name, matchers in selectors:
        assert name in samples
        known |= samples[name].keys()
        for label, value in MATCHER.findall(matchers):
            assert label in samples[name].keys() | OWN_LABELS
            if label in {"level", "route", "outcome"} and "$" not in value:
                assert value in samples[name][label]
    for labels in GROUPING.findall(expression):
        assert {label.strip() for label in labels.split(",")} <= known


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_brackets_of_an_expression_are_balanced(where: str) -> None:
    for opening, closing in ("()", "[]", "{}"):
        assert EXPRESSIONS[where].count(opening) == EXPRESSIONS[where].count(closing)


def test_every_rule_says_how_urgent_it_is_and_what_it_is_about() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        assert rule["for"]


PROMTOOL = shutil.which("promtool")


@pytest.mark.skipif(PROMTOOL is None, reason="needs promtool: apt-get install prometheus")
@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "deploy/prometheus.yml"), ("test", "rules", "tests/alerts.yml")],
    ids=" ".join,
)
def test_prometheus_takes_the_scrape_and_rules_fire_when_they_should(
    arguments: tuple[str, ...],
) -> None:
    """Each rule fires where what it is about is wrong, and none where all is well."""
    assert PROMTOOL

    found = subprocess.run(
        [PROMTOOL, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )

    assert found.returncode == 0, found.stdout + found.stderr


def test_every_rule_is_among_those_that_are_made_to_fire() -> None:
    cases = (REPOSITORY / "tests" / "alerts.yml").read_text()

    assert set(re.findall(r'alertname="(\w+)"', cases)) == {one["alert"] for one in rules()}


def test_what_pages_people_is_there() -> None:
    pages = {one["alert"] for one in rules() if one["labels"]["severity"] == "page"}

    assert pages == {
        "StepcastDown",
        "StepcastErrors",
        "StepcastStoreFailing",
        "StepcastSlow",
        "StepcastCoverageOff",
    }


def test_every_metric_of_the_service_is_on_the_page_that_lists_them(
    samples: dict[str, dict[str, set[str]]],
) -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text()

    for name in samples:
        if name.startswith("stepcast_"):
            assert f"`{re.sub('_(bucket|sum|count)$', '', name)}`" in page


def test_panels_do_not_lie_over_one_another() -> None:
    cells = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in cells
                cells.add((x, y))
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(ids)) == len(ids)


def test_what_is_mounted_is_there_and_named_alike() -> None:
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    prometheus = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    source = yaml.safe_load(
        (DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text()
    )["datasources"][0]

    for name in ("prometheus", "grafana"):
        service = compose["services"][name]
        assert service["profiles"] == ["observe"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        for volume in service["volumes"]:
            outside = volume.split(":")[0]
            there = REPOSITORY / outside if outside.startswith(".") else None
            assert outside in compose["volumes"] if there is None else there.exists()
    (job,) = prometheus["scrape_configs"]
    assert job["static_configs"][0]["targets"] == ["service:8000"]
    assert all((DEPLOY / name).is_file() for name in prometheus["rule_files"])
    assert source["url"] == "http://prometheus:9090"
    assert {
        panel["datasource"]["uid"] for panel in dashboard()["panels"] if "datasource" in panel
    } == {source["uid"]}
