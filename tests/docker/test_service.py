"""The service in its container: what it may do, and what outlives it."""

import re
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import httpx
import pytest

from tests.app.raw import connected, request
from tests.app.running import ROOT
from tests.docker.engine import Images, Project, answer_of, docker, done, eventually, inspect

pytestmark = pytest.mark.docker

README = (ROOT / "README.md").read_text()
WRITE = "a-key-that-may-write"
READ = "a-key-that-may-read"
OBSERVATION = b'{"unique_id": "last", "y": 1}'


# What it may do


def test_it_answers_as_anywhere_else(served: Project) -> None:
    for value in (12.1, 12.4):
        observed = served.post("/observe", unique_id="cellar", y=value)
    forecast = served.post("/forecast", unique_id="cellar", h=2)

    assert observed["next"]["mean"] == pytest.approx(12.397, abs=6e-4)
    assert forecast["model"] == "universal"
    assert [one["step"] for one in forecast["forecasts"]] == [3, 4]


@pytest.mark.parametrize("user", ["10001", "0"])
def test_nobody_writes_to_the_file_system(served: Project, user: str) -> None:
    for folder in ("/", "/opt/stepcast", "/srv/stepcast", "/srv/stepcast/models"):
        ended = served.run_in("touch", f"{folder}/written", user=user)

        assert ended.returncode != 0
        assert "Read-only file system" in ended.stderr


def test_it_writes_its_store_and_temporary_files(served: Project) -> None:
    for folder in ("/srv/stepcast/var", "/tmp"):
        done(served.run_in("touch", f"{folder}/written"))


def test_the_process_has_no_rights_and_gains_none(served: Project) -> None:
    status = dict(re.findall(r"(\w+):\s+(.+)", done(served.run_in("cat", "/proc/1/status"))))

    assert status["Uid"].split() == ["10001"] * 4
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"


def test_the_store_is_a_volume_and_models_are_a_folder_that_it_reads(served: Project) -> None:
    mounts = {one["Destination"]: one for one in served.inspect()["Mounts"]}

    models = mounts["/srv/stepcast/models"]
    store = mounts["/srv/stepcast/var"]
    assert (models["Type"], models["Source"]) == ("bind", str(served.folder / "models"))
    assert not models["RW"]
    assert (store["Type"], store["Name"]) == ("volume", f"{served.name}_store")


def test_only_this_machine_reaches_it(served: Project) -> None:
    ports = served.inspect()["NetworkSettings"]["Ports"]

    assert [one["HostIp"] for one in ports["8000/tcp"]] == ["127.0.0.1"]


# Keys


def test_the_readme_starts_a_container_with_a_key(images: Images) -> None:
    line = re.search(r"docker (run .+) stepcast\n", README)
    assert line
    arguments = line[1].replace("8000:8000", "127.0.0.1::8000").replace("stepcast:/", "/")
    flags = ("--detach", "--health-interval", "1s")

    container = done(
        docker(
            *(*arguments.split(), *flags, images.service),
            variables={"STEPCAST_API_KEYS": WRITE},
        )
    )
    try:
        eventually(lambda: health(inspect(container)) == "healthy", "not healthy")
        address = done(docker("port", container, "8000"))
        refused = httpx.get(f"http://{address}/models", trust_env=False)
        done(docker("stop", container))
        status = inspect(container)["State"]["ExitCode"]
    finally:
        done(docker("rm", "--force", "--volumes", container))

    assert refused.status_code == 401
    assert status == 0


def test_it_refuses_to_start_without_a_key_and_unless_told(project: Project) -> None:
    variables = {"STEPCAST_ALLOW_ANONYMOUS": "false"}

    ended = project.compose("run", "--rm", "service", variables=variables)

    assert ended.returncode == 1
    assert "error: host '0.0.0.0' is open to others, and there are no API keys" in ended.stderr


def test_keys_come_from_the_environment(project: Project) -> None:
    project.up({"STEPCAST_API_KEYS": f"write:{WRITE},read:{READ}"})

    assert_keys_are_asked_for(project)


def test_keys_come_from_a_file_that_becomes_a_secret(project: Project) -> None:
    file = project.folder / "keys"
    file.write_text(f"# Of the tests.\nwrite:{WRITE}\nread:{READ}\n")
    file.chmod(0o644)

    project.up({"STEPCAST_API_KEYS_FILE": "./keys"})

    assert_keys_are_asked_for(project)
    assert WRITE not in str(project.inspect())
    assert WRITE not in project.log()


def test_a_file_of_keys_that_is_not_there_is_an_error(project: Project) -> None:
    ended = project.compose(
        *("up", "--detach", "--no-build"), variables={"STEPCAST_API_KEYS_FILE": "./absent"}
    )

    assert ended.returncode != 0
    assert "absent" in ended.stderr


def test_a_file_of_keys_that_its_user_cannot_read_is_an_error(project: Project) -> None:
    file = project.folder / "keys"
    file.write_text(f"{WRITE}\n")
    file.chmod(0o600)

    ended = project.compose(
        *("run", "--rm", "service"), variables={"STEPCAST_API_KEYS_FILE": str(file)}
    )

    assert ended.returncode == 1
    assert "/run/secrets/api_keys: cannot be read: Permission denied" in ended.stderr


def assert_keys_are_asked_for(project: Project) -> None:
    observation = {"unique_id": "a", "y": 1.0}
    statuses = {}
    for key in (None, "a-key-of-somebody-else", READ, WRITE):
        with project.client(key) as client:
            statuses[key] = client.post("/observe", json=observation).status_code
    assert list(statuses.values()) == [401, 401, 403, 200]


# What outlives it


def test_nothing_that_was_answered_is_lost_when_it_is_killed(project: Project) -> None:
    project.up()
    answered: list[int] = []

    def observe_until_it_dies() -> None:
        with project.client() as client:
            for step in count(1):
                body = {"unique_id": "a", "ds": step, "y": step % 7}
                try:
                    answer = answer_of(client.post("/observe", json=body))
                except httpx.TransportError:
                    return
                assert answer["step"] == step
                answered.append(step)

    with ThreadPoolExecutor(1) as pool:
        observing = pool.submit(observe_until_it_dies)
        eventually(lambda: len(answered) > 100 or observing.done(), "too slow")
        done(project.compose("kill", "--signal", "KILL", "service"))
        observing.result()
    status = project.inspect()["State"]["ExitCode"]
    project.up()

    steps = project.get("/series/a")["step"]
    history = project.get("/series/a/history?limit=1000")["history"]
    kept = [one["y"] for one in history]
    again = project.post("/observe", unique_id="a", ds=steps, y=steps % 7)
    assert status == 128 + 9
    assert len(answered) > 100
    # The last one may have been taken and not answered.
    assert steps - len(answered) in (0, 1)
    assert kept == [step % 7 for step in range(1, steps + 1)][-1000:]
    assert again["status"] == "duplicate"


def test_told_to_stop_it_answers_what_it_began_and_ends_well(project: Project) -> None:
    project.up()
    with project.client() as client, connected(str(client.base_url)) as begun:
        begun.send(request("POST", "/observe", OBSERVATION)[:-10])
        client.get("/health/ready").raise_for_status()  # by now it is taken up

        with ThreadPoolExecutor(1) as pool:
            stopping = pool.submit(project.compose, "stop", "service")
            eventually(lambda: "Stopping: " in project.log(), "did not begin to stop")
            begun.send(OBSERVATION[-10:])
            answer = begun.answer()
            done(stopping.result())
    state = project.inspect()["State"]
    project.up()

    assert answer.status == 200
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    assert project.get("/series/last")["step"] == 1


def test_series_outlive_the_container_and_end_with_the_volume(project: Project) -> None:
    project.up()
    project.post("/observe", unique_id="a", y=1.0)

    project.down()
    project.up()
    kept = project.get("/series/a")
    project.down("--volumes")
    project.up()
    with project.client() as client:
        gone = client.get("/series/a")

    assert kept["step"] == 1
    assert gone.status_code == 404


def test_a_service_that_hangs_is_unhealthy_until_it_goes_on(project: Project) -> None:
    project.up()

    done(project.compose("kill", "--signal", "STOP", "service"))
    eventually(lambda: health(project.inspect()) == "unhealthy", "healthy, though it hangs")
    done(project.compose("kill", "--signal", "CONT", "service"))
    eventually(lambda: health(project.inspect()) == "healthy", "unhealthy, though it goes on")


def health(container: Any) -> str:
    return str(container["State"]["Health"]["Status"])
