"""What people do in the dashboard, in a real browser against a real service."""

import csv
import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.app.running import ROOT
from tests.dashboard.conftest import READ, WRITE, Visit

expect.set_options(timeout=30_000)

SHAMPOO = ROOT / "examples" / "shampoo.csv"
WAVE = [float(10 + number % 4) for number in range(60)]


def fact(page: Page, name: str) -> Locator:
    return page.locator(".fact", has=page.get_by_text(name, exact=True)).locator("dd")


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def open_series(visit: Visit, name: str, model: str = "universal") -> Page:
    page = visit.open(f"#/series/{model}/{name.replace('/', '%2F')}")
    expect(page.locator(".state")).to_have_text(re.compile("Live|Not begun"))
    return page


def inked(page: Page, number: int = 0) -> int:
    """Return how many pixels of a chart are drawn on."""
    script = """canvas => {
        const { width, height } = canvas;
        const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
        return data.filter((one, at) => at % 4 === 3 && one > 0).length;
    }"""
    found: int = page.locator(".uplot canvas").nth(number).evaluate(script)
    return found


# The list


def test_series_are_found_by_how_their_names_begin(visit: Visit) -> None:
    for name in ("hall/north", "hall/south", "yard"):
        visit.post("/seed-state", unique_id=name, y=WAVE)
    status = visit.get("/series/yard")
    page = visit.open("")
    rows = page.locator("tbody tr")

    page.get_by_label("Find").fill("hall/")
    expect(rows.locator("a")).to_have_text(["hall/north", "hall/south"])
    page.get_by_label("Find").fill("yard")
    expect(rows.locator("a")).to_have_text(["yard"])
    cells = rows.first.locator("td").all_inner_texts()
    page.get_by_label("Find").fill("nothing")
    expect(page.get_by_text("No series begins with “nothing”.")).to_be_visible()
    page.get_by_label("Find").fill("hall/")
    page.get_by_role("link", name="hall/south").click()

    expect(page.locator("h1")).to_have_text("hall/south")
    assert cells[0] == "60"
    assert float(cells[3].replace("−", "-")) == pytest.approx(status["error"], abs=0.01)
    assert cells[5] == f"{status['scores']['skill']:.0%}"


def test_a_long_list_comes_a_page_at_a_time(visit: Visit) -> None:
    names = [f"many-{number:03}" for number in range(130)]
    visit.post("/observe/batch", unique_id=names, y=[1.0] * len(names))
    page = visit.open("#/?prefix=many-")

    expect(page.locator("tbody tr")).to_have_count(100)
    button(page, "Show more").click()

    expect(page.locator("tbody tr")).to_have_count(130)
    expect(button(page, "Show more")).to_be_hidden()


def test_a_name_of_any_length_leaves_the_columns_in_sight(visit: Visit) -> None:
    visit.post("/observe", unique_id="long" + "x" * 252, y=1.0)
    page = visit.open("#/?prefix=longx")
    expect(page.locator("tbody tr")).to_have_count(1)

    hidden = page.locator(".scroll").evaluate("box => box.scrollWidth - box.clientWidth")

    assert hidden <= 1


def test_a_link_leads_to_the_head_of_a_page_and_back_to_where_one_was(visit: Visit) -> None:
    names = [f"far-{number:02}" for number in range(60)]
    visit.post("/observe/batch", unique_id=names, y=[1.0] * len(names))
    page = visit.open("#/?prefix=far-")
    expect(page.locator("tbody tr")).to_have_count(60)
    link = page.get_by_role("link", name="far-59")
    link.scroll_into_view_if_needed()
    before = page.evaluate("scrollY")

    link.click()
    expect(page.locator("h1")).to_have_text("far-59")
    expect(page.locator("#view")).to_be_focused()
    head = page.evaluate("scrollY")
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(60)

    page.wait_for_function("before => scrollY === before", arg=before)
    assert before > head == 0


def test_a_list_is_that_of_a_model(visit: Visit) -> None:
    page = visit.open("")

    page.get_by_label("Model").select_option("shampoo")

    expect(page.locator("tbody a")).to_have_text(["shampoo"])
    assert page.url.endswith("#/?model=shampoo")


# A series


def test_a_series_begins_from_nothing_by_observing(visit: Visit) -> None:
    page = visit.open("")
    button(page, "New series").click()
    page.get_by_label("Name", exact=True).fill("begun / here")
    button(page, "Go on").click()
    expect(page.get_by_text("There is no such series yet.")).to_be_visible()
    expect(button(page, "Delete")).to_be_disabled()

    page.get_by_label("Value", exact=True).fill("3.5")
    button(page, "Observe").click()
    expect(page.get_by_text("Step 1 taken.")).to_be_visible()
    expect(page.get_by_text("A forecast needs 1 more observation.")).to_be_visible()
    expect(page.locator(".state")).to_have_text("Live")
    page.get_by_label("Value", exact=True).fill("4.5")
    page.keyboard.press("Enter")

    expect(fact(page, "Step")).to_have_text("2")
    assert [one["y"] for one in visit.get("/series/begun%20%2F%20here/history")["history"]] == [
        3.5,
        4.5,
    ]


def test_observations_show_as_they_arrive(visit: Visit) -> None:
    visit.post("/seed-state", unique_id="live", y=WAVE, season=4)
    page = open_series(visit, "live")
    expect(fact(page, "Step")).to_contain_text("60")
    expect(page.locator("tr.next")).to_have_count(6)

    for y in (10.0, 11.0, 12.0):
        answer = visit.post("/observe", unique_id="live", y=y)

    expect(fact(page, "Step")).to_contain_text("63")
    expect(fact(page, "Last value")).to_contain_text("12")
    newest = page.locator("tbody tr:not(.next)").first
    expect(newest.locator("th")).to_have_text("63")
    told = float(newest.locator("td").last.inner_text().replace("−", "-"))
    assert told == pytest.approx(answer["error"], abs=0.01)
    expect(page.locator("tr.next th").last).to_have_text("64")


def test_a_busy_series_has_its_next_steps_asked_for_once_a_second(visit: Visit) -> None:
    """They take the service longer than observations: a page in view would slow those down."""
    visit.post("/seed-state", unique_id="busy", y=WAVE)
    page = open_series(visit, "busy")
    expect(page.locator("tr.next")).to_have_count(6)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    begin = time.monotonic()

    for step in range(61, 91):
        visit.post("/observe", unique_id="busy", y=11.0)
        expect(fact(page, "Step")).to_have_text(str(step))
    expect(page.locator("tr.next th").last).to_have_text("91")
    seconds = time.monotonic() - begin

    assert 1 <= len([one for one in asked if one.endswith("/forecast")]) <= 2 + seconds


def test_a_chart_shows_history_forecasts_and_what_is_under_the_cursor(visit: Visit) -> None:
    days = [f"2024-01-{day:02}" for day in range(1, 32)]
    visit.post("/seed-state", unique_id="chart", y=WAVE[:31], ds=days)
    page = open_series(visit, "chart")
    past = visit.get("/series/chart/history")["history"]
    readout = page.locator(".readout").first
    expect(readout).to_contain_text("step 31")

    page.locator(".plot").first.focus()
    page.keyboard.press("ArrowLeft")  # from the right: the last step ahead
    expect(readout).to_contain_text("step 43")
    for _ in range(13):
        page.keyboard.press("ArrowLeft")

    expect(readout).to_contain_text(f"step 30 at 2024-01-30 actual {past[29]['y']:g} forecast")
    assert inked(page) > 5000
    assert inked(page, 1) > 500
    assert inked(page, 2) > 500


def test_a_series_that_hardly_changes_is_drawn_too(visit: Visit) -> None:
    for name, values in {"flat": [5.0] * 100, "nearly": [5.0, 5.0 + 1e-12] * 50}.items():
        visit.post("/seed-state", unique_id=name, y=values)
        page = open_series(visit, name)

        expect(page.locator(".readout").first).to_contain_text("step 100")
        assert inked(page) > 500


def test_an_axis_has_room_for_any_number(visit: Visit) -> None:
    page = visit.open("")
    script = "numbers => import('/dashboard/format.js').then(({ short }) => numbers.map(short))"

    said = page.evaluate(script, [4.5e10, -2e-7, 0.30000000000000004, 0, -1234567])

    assert said == ["4.5e10", "−2e−7", "0.3", "0", "−1234600"]


def test_a_series_that_goes_on_from_training_says_why_its_chart_is_empty(visit: Visit) -> None:
    page = open_series(visit, "shampoo", model="shampoo")

    expect(page.get_by_text("What came before is not kept here")).to_be_visible()
    expect(page.locator("tr.next")).to_have_count(6)


def test_what_has_too_few_scores_for_a_window_says_so(visit: Visit) -> None:
    visit.post("/seed-state", unique_id="young", y=WAVE[:15])
    page = open_series(visit, "young")

    rolling = page.get_by_role("region", name="Scores").locator("canvas")
    expect(page.get_by_text("Fewer than 20 of these steps are scored.")).to_be_visible()
    expect(rolling.first).to_be_hidden()
    page.locator("#window").select_option("10")

    expect(page.get_by_text("of these steps are scored.")).to_be_hidden()
    expect(rolling.first).to_be_visible()
    box = rolling.first.bounding_box()
    assert box is not None
    assert box["width"] > 200


def test_a_hidden_page_keeps_no_stream_and_misses_nothing(visit: Visit) -> None:
    """Six streams to one host are all that a browser opens: a seventh tab would wait for ever."""
    visit.post("/seed-state", unique_id="hidden", y=WAVE)
    page = open_series(visit, "hidden")
    hide = """isHidden => {
        Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""

    page.evaluate(hide, True)
    expect(page.locator(".state")).to_have_text("Reconnecting")
    visit.post("/observe", unique_id="hidden", y=12.0)
    page.evaluate(hide, False)

    expect(page.locator(".state")).to_have_text("Live")
    expect(fact(page, "Step")).to_have_text("61")


def test_who_looks_closer_goes_on_to_as_observations_arrive(visit: Visit) -> None:
    visit.post("/seed-state", unique_id="closer", y=WAVE)
    page = open_series(visit, "closer")
    expect(page.locator("tr.next")).to_have_count(6)
    over = page.locator(".u-over").first
    readout = page.locator(".readout").first
    box = over.bounding_box()
    assert box is not None
    left, right, middle = (box["x"] + box["width"] * share for share in (0.25, 0.5, 0.375))
    high = box["y"] + 50

    page.mouse.move(left, high)
    page.mouse.down()
    page.mouse.move(right, high, steps=4)
    page.mouse.up()
    page.mouse.move(box["x"] + 1, high)
    begins = step_of(readout)
    visit.post("/observe", unique_id="closer", y=12.0)
    expect(fact(page, "Step")).to_have_text("61")
    expect(page.locator("tr.next th").last).to_have_text("62")
    page.mouse.move(box["x"] + 2, high)
    begins_after = step_of(readout)
    page.mouse.dblclick(middle, high)
    page.mouse.move(box["x"] + 1, high)

    assert begins == begins_after == pytest.approx(19, abs=1)
    expect(readout).to_contain_text("step 1 ")


def step_of(readout: Locator) -> int:
    found = re.match(r"step (\d+)", readout.inner_text())
    assert found
    return int(found[1])


def test_the_horizon_and_the_windows_are_chosen(visit: Visit) -> None:
    visit.post("/seed-state", unique_id="chosen", y=WAVE)
    page = open_series(visit, "chosen")
    expect(page.locator("tr.next")).to_have_count(6)

    page.get_by_role("spinbutton").fill("3")
    page.keyboard.press("Tab")
    expect(page.locator("tr.next")).to_have_count(3)
    page.locator("#window").select_option("10")
    page.locator("#span").select_option("100")
    expect(page.locator(".readout").nth(2)).to_contain_text("in 95%")

    page.get_by_role("spinbutton").fill("1001")
    page.keyboard.press("Tab")
    expect(page.get_by_role("alert").filter(visible=True)).to_have_text(
        "h: expected at most 1000 steps, found 1001"
    )


def test_what_the_service_refuses_is_said_in_its_words(visit: Visit) -> None:
    visit.post("/seed-state", unique_id="timed", y=[1.0, 2.0], ds=["2024-01-01", "2024-01-02"])
    page = open_series(visit, "timed")

    page.get_by_label("Value", exact=True).fill("5")
    page.get_by_label("Time (ds)").fill("2023-12-31")
    button(page, "Observe").click()
    alert = page.locator("form.observe").get_by_role("alert")
    expect(alert).to_contain_text("is before the last observation, 2024-01-02T00:00:00Z")
    page.get_by_label("Value", exact=True).fill("5,5")
    button(page, "Observe").click()
    expect(alert).to_have_text("Value: expected a number, found “5,5”.")
    page.get_by_label("Value", exact=True).fill("2")
    page.get_by_label("Time (ds)").fill("2024-01-02")
    button(page, "Observe").click()

    expect(page.get_by_text("Step 2 had this value already.")).to_be_visible()
    expect(alert).to_be_hidden()


def test_a_whole_number_that_a_browser_would_change_is_not_sent(visit: Visit) -> None:
    """Times in nanoseconds have more digits than its numbers hold."""
    visit.post("/seed-state", unique_id="nanos", y=[1.0, 2.0], ds=[1700000000000000001, 1 << 61])
    page = open_series(visit, "nanos")

    page.get_by_label("Value", exact=True).fill("5")
    page.get_by_label("Time (ds)").fill(str((1 << 61) + 1))
    button(page, "Observe").click()

    alert = page.locator("form.observe").get_by_role("alert")
    expect(alert).to_contain_text(f"found {(1 << 61) + 1}; send it through the API.")
    expect(fact(page, "Step")).to_contain_text("2about 2305843009213694000")
    assert visit.get("/series/nanos")["step"] == 2


def test_a_service_that_stopped_is_said_not_to_answer(visit: Visit) -> None:
    visit.post("/seed-state", unique_id="away", y=WAVE)
    page = open_series(visit, "away")

    page.context.set_offline(True)
    page.locator("#span").select_option("100")
    alert = page.locator("main > .refusal")
    expect(alert).to_have_text("The service does not answer. Once it runs, try again.")
    page.context.set_offline(False)
    page.locator("#span").select_option("300")

    expect(alert).to_be_hidden()
    visit.faults = [one for one in visit.faults if "net::ERR_INTERNET_DISCONNECTED" not in one]


def test_an_address_that_is_no_address_is_taken_as_it_is(visit: Visit) -> None:
    page = visit.open("#/series/universal/50%")

    expect(page.locator("h1")).to_have_text("50%")


def test_a_series_that_others_began_is_followed_once_it_is_observed_here(visit: Visit) -> None:
    page = open_series(visit, "theirs")
    expect(page.get_by_text("There is no such series yet.")).to_be_visible()

    visit.post("/seed-state", unique_id="theirs", y=WAVE)
    page.get_by_label("Value", exact=True).fill("11")
    button(page, "Observe").click()

    expect(fact(page, "Step")).to_have_text("61")
    expect(page.locator(".state")).to_have_text("Live")


def test_a_cell_in_quotes_may_hold_what_separates_cells(visit: Visit) -> None:
    page = visit.open("")
    script = """text => import('/dashboard/column.js').then(({ parseColumn }) =>
        parseColumn(text, 'Hall, "north"'))"""

    found = page.evaluate(
        script, 'unique_id,ds,y\n"Hall, ""north""",1,"4"\n"Hall, ""north""",2,\nyard,1,9'
    )

    assert found == {"y": [4, None], "ds": [1, 2]}


def test_a_series_is_seeded_with_a_pasted_column(visit: Visit) -> None:
    page = open_series(visit, "pasted")

    button(page, "Seed").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Values").fill("3\n4\nnull\n5.5\n")
    dialog.get_by_label("Season").fill("2")
    expect(dialog.get_by_text("4 values, 3 to 5.5, 1 missing")).to_be_visible()
    dialog.get_by_role("button", name="Seed").click()

    expect(fact(page, "Step")).to_have_text("4")
    expect(page.locator(".state")).to_have_text("Live")
    past = visit.get("/series/pasted/history")["history"]
    assert [one["y"] for one in past] == [3.0, 4.0, None, 5.5]


def test_a_series_is_replaced_by_an_uploaded_file_once_that_is_confirmed(visit: Visit) -> None:
    visit.post("/seed-state", unique_id="shampoo", y=WAVE)
    rows = list(csv.DictReader(SHAMPOO.read_text().splitlines()))
    page = open_series(visit, "shampoo")

    button(page, "Seed").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("This replaces the series")).to_be_visible()
    dialog.get_by_label("Or a file").set_input_files(SHAMPOO)
    expect(dialog.get_by_text(f"36 values, {rows[0]['ds']} to {rows[-1]['ds']}")).to_be_visible()
    button(page, "Replace series").click()

    expect(fact(page, "Step")).to_contain_text("361903-12-01")
    past = visit.get("/series/shampoo/history")["history"]
    assert [one["y"] for one in past] == [float(row["y"]) for row in rows]


COLUMNS: list[tuple[str, Any]] = [
    ("1\n2\nx\n", "Line 3: expected a number, found “x”."),
    ("a,1\nb,2\n", "ds.0: expected a whole number, or a date and time in ISO 8601"),
    ("2024-01-02,1\n2024-01-01,2\n", re.compile("2024-01-01T00:00:00Z")),
    ("unique_id,ds,y\na,1,1\nb,1,2\n", "The table has 2 series, and none is called refused."),
    ("1,2,3\n", "Line 1 has 3 columns: name them in a first line, as unique_id, ds, y."),
    ("", "Nothing to seed with: paste one value a line, or choose a file."),
]


def test_a_column_that_is_wrong_says_where_and_changes_nothing(visit: Visit) -> None:
    page = open_series(visit, "refused")
    button(page, "Seed").click()
    dialog = page.get_by_role("dialog")

    for text, message in COLUMNS:
        dialog.get_by_label("Values").fill(text)
        dialog.get_by_role("button", name="Seed").click()
        expect(dialog.get_by_role("alert")).to_have_text(message)
    page.keyboard.press("Escape")

    expect(dialog).to_have_count(0)
    expect(page.get_by_text("There is no such series yet.")).to_be_visible()


def test_a_reset_and_a_deletion_are_confirmed_first(visit: Visit) -> None:
    visit.post("/seed-state", unique_id="going", y=WAVE)
    before = visit.get("/series/going")["next"]["mean"]
    page = open_series(visit, "going")
    expect(fact(page, "Step")).to_contain_text("60")

    button(page, "Reset").click()
    button(page, "Cancel").click()
    assert visit.get("/series/going")["next"]["mean"] == before
    button(page, "Reset").click()
    button(page, "Reset state").click()
    expect(page.get_by_text("Reset the state of going.")).to_be_visible()
    after = visit.get("/series/going")["next"]["mean"]
    button(page, "Delete").click()
    button(page, "Delete series").click()

    expect(page.locator("h1")).to_have_text("Series")
    expect(page.get_by_text("Deleted going.")).to_be_visible()
    expect(page).to_have_url(re.compile(r"#/\?model=universal$"))
    expect(page.get_by_role("link", name="going")).to_have_count(0)
    assert after != before


def test_a_series_that_others_delete_is_seen_to_be_gone(visit: Visit) -> None:
    visit.post("/seed-state", unique_id="gone", y=WAVE)
    page = open_series(visit, "gone")

    page.request.delete(f"{visit.url}/series/gone")

    expect(page.get_by_text("There is no such series yet.")).to_be_visible()
    expect(page.locator(".state")).to_have_text("Not begun")


def test_covariates_are_asked_for_by_name(visit: Visit) -> None:
    page = open_series(visit, "covered", model="told")

    for y, temp in (("1", "20.5"), ("2", ""), ("2.5", "19")):
        page.get_by_label("Value", exact=True).fill(y)
        page.get_by_label("temp").fill(temp)
        page.get_by_label("wind").select_option("north")
        button(page, "Observe").click()
        expect(page.get_by_label("Value", exact=True)).to_have_value("")
    expect(fact(page, "Step")).to_have_text("3")
    button(page, "Seed").click()

    expect(page.get_by_role("dialog")).to_contain_text("has covariates (temp, wind)")
    past = visit.get("/series/covered/history?model=told")["history"]
    assert [one["x"]["wind"] for one in past] == ["north"] * 3
    assert [one["x"].get("temp") for one in past] == [20.5, None, 19.0]


# Models


def test_a_model_shows_its_scores_beside_the_baselines(visit: Visit) -> None:
    page = visit.open("#/models")
    scores = visit.get("/models/shampoo")["scores"]

    page.get_by_role("link", name="shampoo").click()

    expect(page.locator("h1")).to_have_text("shampoo")
    row = page.get_by_role("row", name="This model")
    expect(row.locator("td").first).to_have_text(f"{scores['model']['rmse']:.5g}")
    row = page.get_by_role("row", name="Persistence")
    expect(row.locator("td").first).to_have_text(f"{scores['persistence']['rmse']:.5g}")
    expect(fact(page, "Frequency")).to_contain_text("MS")


def test_a_report_opens_and_runs_nothing(visit: Visit) -> None:
    page = visit.open("#/models/shampoo")

    with page.expect_popup() as opened:
        page.get_by_role("link", name="Training report").click()
    report = opened.value

    expect(report.locator("h1")).to_have_text("shampoo")
    width = report.locator("body").evaluate("body => getComputedStyle(body).maxWidth")
    loaded = report.locator("img").first.evaluate("img => img.naturalWidth")
    assert width == "832px"  # its own style
    assert loaded > 100


def test_a_model_that_is_not_there_is_said_to_be_none(visit: Visit) -> None:
    page = visit.open("#/models/none")

    expect(page.get_by_role("alert")).to_contain_text("no model 'none'")


# A key, and a store in memory


def test_escape_does_not_leave_a_page_without_its_key(keyed_visit: Visit) -> None:
    """A browser lets a page keep a dialog open once only, then closes it all the same."""
    page = keyed_visit.open("")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()

    for _ in range(3):
        page.keyboard.press("Escape")
        expect(dialog).to_be_visible()
    page.get_by_label("Key", exact=True).fill(READ)
    page.keyboard.press("Enter")

    expect(page.locator("h1")).to_have_text("Series")
    button(page, "Change key").click()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_a_key_is_asked_for_once_and_kept_for_the_tab(keyed_visit: Visit) -> None:
    visit = keyed_visit
    page = visit.open("")
    dialog = page.get_by_role("dialog")

    expect(dialog.get_by_role("alert")).to_contain_text("send a key")
    page.get_by_label("Key", exact=True).fill("wrong-0123456789")
    button(page, "Use key").click()
    expect(dialog.get_by_role("alert")).to_contain_text("is not one of this service's")
    page.get_by_label("Key", exact=True).fill(WRITE)
    button(page, "Use key").click()
    expect(page.locator("h1")).to_have_text("Series")
    page.reload()
    expect(page.locator("h1")).to_have_text("Series")
    expect(dialog).to_have_count(0)

    page.goto(f"{visit.url}/#/models/shampoo")
    with page.expect_download() as saved:
        button(page, "Save training report").click()
    assert saved.value.suggested_filename == "shampoo-report.html"
    assert Path(saved.value.path()).read_bytes().startswith(b"<!doctype html>")


def test_a_key_that_may_only_read_says_so_and_is_changed(keyed_visit: Visit) -> None:
    visit = keyed_visit
    visit.post("/seed-state", unique_id="read", y=WAVE)
    page = visit.open("#/series/universal/read")
    page.get_by_label("Key", exact=True).fill(READ)
    button(page, "Use key").click()
    expect(fact(page, "Step")).to_have_text("60")

    page.get_by_label("Value", exact=True).fill("5")
    button(page, "Observe").click()
    alert = page.locator("form.observe").get_by_role("alert")
    expect(alert).to_have_text("this call changes something; send a write key")
    button(page, "Change key").click()
    page.get_by_label("Key", exact=True).fill(WRITE)
    button(page, "Use key").click()
    expect(alert).to_be_hidden()
    expect(page.locator(".state")).to_have_text("Live")
    page.get_by_label("Value", exact=True).fill("5")
    button(page, "Observe").click()

    expect(fact(page, "Step")).to_have_text("61")


def test_without_a_history_the_chart_fills_from_now_on(keyed_visit: Visit) -> None:
    visit = keyed_visit
    visit.post("/seed-state", unique_id="here", y=WAVE)
    page = visit.open("#/series/universal/here")
    page.get_by_label("Key", exact=True).fill(WRITE)
    button(page, "Use key").click()
    expect(page.locator(".state")).to_have_text("Live")
    expect(page.get_by_text("This service keeps series in memory")).to_be_visible()

    for y in (10.0, 11.0):
        visit.post("/observe", unique_id="here", y=y)

    expect(fact(page, "Step")).to_have_text("62")
    expect(page.locator("tbody tr:not(.next)")).to_have_count(2)


# Every screen, by every hand


PAGES = {"#/": "Series", "#/series/universal/wide": "wide", "#/models": "Models"}


def test_a_phone_shows_every_page_in_its_width_and_readably(phone: Visit) -> None:
    phone.post("/seed-state", unique_id="wide", y=WAVE)

    for address, title in PAGES.items():
        page = phone.open(address)
        expect(page.locator("h1")).to_have_text(title)
        if title == "wide":
            expect(page.locator(".readout").first).to_contain_text("forecast")
            button(page, "Seed").click()
            within = "dialog => dialog.scrollWidth <= dialog.clientWidth"
            assert page.get_by_role("dialog").evaluate(within)
            page.keyboard.press("Escape")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert faint(page) == []


def faint(page: Page) -> list[str]:
    """Return texts with less contrast than 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    script = """() => {
        const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
        const light = (text) => {
            const [r, g, b] = rgb(text).map((one) => one / 255)
                .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const behind = (element) => {
            for (let one = element; one; one = one.parentElement) {
                const found = getComputedStyle(one).backgroundColor;
                if ((rgb(found)[3] ?? 1) === 1) return found;
            }
        };
        const found = [];
        for (const element of document.querySelectorAll("body *")) {
            const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
            if (!own || element.disabled || !element.checkVisibility()) continue;
            const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
            const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (contrast < 4.5) found.push(`${element.textContent}: ${contrast.toFixed(2)}`);
        }
        return found;
    }"""
    found: list[str] = page.evaluate(script)
    return found


def test_a_keyboard_is_enough(visit: Visit) -> None:
    visit.post("/seed-state", unique_id="typed", y=WAVE)
    page = visit.open("#/?prefix=typed")
    expect(page.locator("tbody tr")).to_have_count(1)

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(4):  # new series, find, model, the series
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("typed")
    button(page, "Delete").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")

    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(button(page, "Delete")).to_be_focused()


def test_every_control_has_a_name(visit: Visit) -> None:
    visit.post("/seed-state", unique_id="named", y=WAVE)

    for address in ("#/", "#/series/universal/named"):
        page = visit.open(address)
        expect(page.locator("table").first).to_be_visible()
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("input, select, textarea, button, [role=img]")]
                .filter((one) => !(one.labels?.length || one.textContent.trim()
                    || one.getAttribute("aria-label")))
                .map((one) => one.outerHTML)"""
        )
        assert nameless == []
