"""The probes, and what a browser is shown."""

from tests.app.running import Service


def test_a_running_service_is_live(service: Service) -> None:
    answer = service.client.get("/health/live")

    assert answer.status_code == 200
    assert answer.json()["status"] == "live"


def test_a_service_is_ready_with_all_its_models(service: Service) -> None:
    answer = service.client.get("/health/ready")

    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "models": ["counted", "daily", "plain"]}


def test_the_interface_describes_itself(service: Service) -> None:
    document = service.client.get("/openapi.json").json()

    assert document["info"]["title"] == "Stepcast"
    assert service.client.get("/docs").status_code == 200
