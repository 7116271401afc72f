"""The profile `train` writes models that the service then serves."""

import csv
from pathlib import Path

import pytest

from tests.docker.engine import TRAINER, Project, done

pytestmark = pytest.mark.docker


def test_a_model_that_was_trained_is_served_after_a_restart(project: Project) -> None:
    """The commands of the README."""
    project.up()

    arguments = ["shampoo.csv", "--name", "mine", "--test", "12"]
    told = done(project.compose("run", "--rm", "train", *arguments))
    done(project.compose("restart", "service"))
    project.up()

    folder = project.folder / "models" / "mine"
    forecast = project.post("/forecast", unique_id="shampoo", model="mine")
    models = [one["name"] for one in project.get("/models")["models"]]
    assert "persistence" in told
    assert models == ["mine", "shampoo", "universal"]
    assert (forecast["model"], forecast["step"]) == ("mine", 24)
    assert (folder / "report" / "index.html").is_file()
    assert folder.stat().st_uid == int(project.variables.get("STEPCAST_UID", TRAINER))


def test_a_folder_of_ones_own_is_trained_on_and_its_model_served_by_default(
    project: Project, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with (data / "sales.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["y"])
        rows.writerows([step % 5 + step / 10] for step in range(60))
    recipe = ("--method", "plain", "--epochs", "2", "--test", "6")

    done(
        project.compose(
            *("run", "--rm", "train", "sales.csv", "--name", "sales", *recipe),
            variables={"STEPCAST_DATA": str(data)},
        )
    )
    project.up({"STEPCAST_MODEL": "sales"})

    assert project.post("/forecast", y=[1.0, 2.0, 3.0])["model"] == "sales"
    assert sorted(path.name for path in data.iterdir()) == ["sales.csv"]


def test_a_folder_that_is_not_there_is_an_error(project: Project) -> None:
    ended = project.compose(
        *("run", "--rm", "train", "sales.csv", "--name", "sales"),
        variables={"STEPCAST_DATA": "./absent"},
    )

    assert ended.returncode != 0
    assert "absent" in ended.stderr
    assert not (project.folder / "absent").exists()
