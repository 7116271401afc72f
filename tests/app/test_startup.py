"""A service starts with every model checked, or says in one line why it does not."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.services import load_services
from app.settings import Settings
from forecaster.errors import ArtifactError, ModelNotFoundError
from tests.app.conftest import TRAINED
from tests.app.running import Service, running, serving, stepcast
from tests.forecaster.damage import edit_manifest, edit_weights, rewrite
from tests.forecaster.fakes import write_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of one model, to be damaged."""
    write_model(tmp_path / "models" / "sales", states={"trained": TRAINED})
    return tmp_path / "models"


def refusal(*flags: str) -> str:
    """Return the one line with which `stepcast serve` refuses to start."""
    ended = stepcast("serve", "--port", "0", *flags)
    assert ended.returncode == 1
    assert ended.stdout == ""
    line = ended.stderr.removesuffix("\n")
    assert re.fullmatch(r"error: .+", line), line
    return line


# Models


def test_the_only_model_is_the_default(folder: Path) -> None:
    with running(folder) as service:
        assert service.post("/forecast", y=[1.0, 2.0])["model"] == "sales"


def test_hidden_folders_and_loose_files_are_no_models(folder: Path) -> None:
    shutil.copytree(folder / "sales", folder / ".half-written")
    (folder / "README.md").write_text("models")

    services = load_services(Settings(models=folder, store="memory"))

    assert [one.model.name for one in services] == ["sales"]


def test_a_folder_without_a_manifest_is_refused_rather_than_passed_over(folder: Path) -> None:
    (folder / "half-copied").mkdir()

    with pytest.raises(ArtifactError, match=r"half-copied/manifest.json: expected a readable file"):
        load_services(Settings(models=folder, store="memory"))


def test_a_default_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no model 'nope'; loaded: sales"):
        load_services(Settings(models=folder, model="nope", store="memory"))


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_a_folder_without_models_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(ArtifactError, match="expected a folder of model folders, found no model"):
        load_services(Settings(models=tmp_path / name, store="memory"))


def test_one_damaged_model_among_good_ones_is_refused(folder: Path) -> None:
    write_model(folder / "broken")
    (folder / "broken" / "scaler.json").write_text("{}")

    with pytest.raises(ArtifactError, match=r"broken.scaler\.json: sha256: expected"):
        load_services(Settings(models=folder, store="memory"))


# The command


def test_the_command_refuses_a_damaged_model_in_one_line(folder: Path) -> None:
    path = folder / "sales" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")

    line = refusal("--models", str(folder))

    assert re.fullmatch(
        rf"error: {re.escape(str(path))}: sha256: expected [0-9a-f]{{64}}, found [0-9a-f]{{64}}",
        line,
    )


def lead_out(model: Path) -> None:
    (model / "scaler.json").unlink()
    (model / "scaler.json").symlink_to("/etc/passwd")


def put_a_pipe(model: Path) -> None:
    (model / "weights.safetensors").unlink()
    os.mkfifo(model / "weights.safetensors")


def nest_deeply(model: Path) -> None:
    (model / "manifest.json").write_bytes(b"[" * 1_000_000)


def fill_the_disk(model: Path) -> None:
    with (model / "golden.json").open("r+b") as file:
        file.truncate(1 << 40)  # sparse: it takes no room


def claim_gigabytes(model: Path) -> None:
    edit_manifest(model, network={"features": 1, "units": [10**9], "outputs": 12})


def lie_in_the_header(model: Path) -> None:
    rewrite(model, "weights.safetensors", (2**62).to_bytes(8, "little") + b"{}")


def weigh_nothing(model: Path) -> None:
    edit_weights(model, lambda weights: weights["head/bias"].fill(np.nan))


def leave_a_broken_record(model: Path) -> None:
    content = (model / "series.safetensors").read_bytes()
    rewrite(model, "series.safetensors", content[:-16] + b"\xff" * 16)


def write_over_the_line(model: Path) -> None:
    edit_manifest(model, **{"a\nerror: all is well\x1b[2J": 1})


def be_named_over_two_lines(model: Path) -> None:
    model.rename(model.with_name("sales\nerror: all is well"))


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        (lead_out, r"/sales/manifest\.json: files: expected paths inside .*, found scaler\.json"),
        (put_a_pipe, r"/sales/weights\.safetensors: expected a readable file, found no regular"),
        (nest_deeply, r"/sales/manifest\.json: expected Invalid JSON: recursion limit exceeded"),
        (fill_the_disk, r"/sales/golden\.json: expected at most 4194304 bytes, found 10995"),
        (
            claim_gigabytes,
            r"/sales/manifest\.json: network\.units\.0: .*equal to 8192, found",
        ),
        (lie_in_the_header, r"/sales/weights\.safetensors: header: expected at most 1048576 bytes"),
        (weigh_nothing, r"/sales/weights\.safetensors: head/bias: expected finite .*, found NaN"),
        (leave_a_broken_record, r"/sales/series\.safetensors: .*expected .*, found "),
        (write_over_the_line, r"/sales/manifest\.json: a\\nerror: all is well\\x1b\[2J: expected"),
        (
            be_named_over_two_lines,
            r"/models: folder: expected .*, found 'sales\\nerror: all is well'",
        ),
    ],
)
def test_the_command_refuses_an_attack_in_one_line(
    folder: Path, attack: Callable[[Path], None], told: str
) -> None:
    attack(folder / "sales")

    line = refusal("--models", str(folder))

    assert re.search(told, line), line
    assert line.isprintable()
    assert len(line) < 1000


def test_the_command_refuses_an_empty_folder_in_one_line(tmp_path: Path) -> None:
    line = refusal("--models", str(tmp_path))

    assert line == f"error: {tmp_path}: expected a folder of model folders, found no model"


def test_the_command_refuses_an_unknown_default_in_one_line() -> None:
    assert refusal("--model", "nope") == "error: no model 'nope'; loaded: shampoo, universal"


def test_the_command_refuses_a_bad_variable_in_one_line() -> None:
    ended = stepcast("serve", variables={"STEPCAST_START": "later"})

    assert ended.returncode == 1
    assert ended.stderr == (
        "error: setting start (STEPCAST_START): Input should be 'training' or 'empty', "
        "found 'later'\n"
    )


def test_the_command_says_that_a_port_is_taken() -> None:
    with serving() as process:
        ended = stepcast("serve", "--port", process.url.rpartition(":")[2])

    assert ended.returncode != 0
    assert "address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


# Series


def test_a_series_of_training_goes_on_where_training_ended(folder: Path) -> None:
    with running(folder) as service:
        forecast = service.post("/forecast", unique_id="trained")

        assert forecast["step"] == len(TRAINED)


def test_a_series_that_is_kept_is_not_put_back_to_where_training_ended(folder: Path) -> None:
    with running(folder) as service:
        service.post("/observe", unique_id="trained", y=1.0)
        records = service.records()

        assert service.client.portal is not None
        service.client.portal.call(service.services.start, Settings(models=folder, store="memory"))

        assert service.records() == records


def test_a_service_may_start_empty(folder: Path) -> None:
    with running(folder, start="empty") as service:
        service.refused("/forecast", 404, unique_id="trained")

        assert service.records() == {}


def test_a_fresh_service_is_as_any_other(service: Service, folder: Path) -> None:
    """Two applications of one process share nothing."""
    service.post("/observe", unique_id="a", y=1.0)

    with running(folder, start="empty") as other:
        assert other.records() == {}
