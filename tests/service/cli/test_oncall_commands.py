"""`rollcall oncall …` as its user sees it: what is shown is what is done; a no is a sentence and exit code 1."""

from collections.abc import Callable
from pathlib import Path

import pytest

from service.cli import oncall, oncall_change, oncall_setup
from tests.conftest import Rows
from tests.filling import filled
from tests.handlers.oncall.team import MONDAY, at, in_days
from tests.service.cli.conftest import Rollcall, said

ROSTER = """
AM: [ada@example.com, ben@example.com]
PM: [pia@example.com, quin@example.com, rosa@example.com]
"""
TUESDAY = in_days(1).isoformat()
Clock = Callable[[int], None]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """It is Monday, 2026-11-02, 10:00 UTC, until a test says otherwise."""

    def set_to(now: int) -> None:
        for module in (oncall, oncall_change, oncall_setup):
            monkeypatch.setattr(module, "now_ms", lambda: now)

    set_to(at(MONDAY, "10:00"))
    return set_to


@pytest.fixture
def planned(rollcall: Rollcall, folder: Path, database_url: str) -> Rollcall:
    """Five people from a roster in the seed's shape, and a plan."""
    (folder / "roster.yaml").write_text(ROSTER)

    def fill(_url: str) -> None:
        assert said(rollcall("oncall", "import", "roster.yaml", "--json"))["added"] == 5
        assert rollcall("oncall", "plan").exit_code == 0

    filled(database_url, "planned by commands", fill)
    return rollcall


def server(rollcall: Rollcall, day: str, rotation: str) -> str:
    (found,) = said(rollcall("oncall", "why", day, rotation, "--json"))
    return str(found["shift"]["on_call"])


def not_on(rollcall: Rollcall, day: str, rotation: str) -> str:
    who = server(rollcall, day, rotation)
    return next(f"{name}@example.com" for name in ("pia", "quin", "rosa") if name.title() != who)


def test_a_dry_run_shows_the_difference_as_a_table_and_changes_nothing(planned: Rollcall, rows: Rows) -> None:
    was = server(planned, TUESDAY, "PM")
    instead = not_on(planned, TUESDAY, "PM")
    shown = planned("oncall", "override", TUESDAY, "PM", instead, "--because", "ill", "--dry-run")
    assert shown.exit_code == 0
    line = next(line for line in shown.stdout.splitlines() if TUESDAY in line and "→" not in line and "PM" in line)
    assert was in shown.stdout
    assert line
    assert "Nothing was changed (--dry-run)." in shown.stderr
    assert rows("SELECT * FROM oncall_schedule_overrides") == []
    done = planned("oncall", "override", TUESDAY, "PM", instead, "--because", "ill")
    assert done.stdout == shown.stdout
    assert [row["reason"] for row in rows("SELECT reason FROM oncall_schedule_overrides")] == ["ill"]


def test_an_override_can_be_cancelled(planned: Rollcall) -> None:
    was = server(planned, TUESDAY, "PM")
    planned("oncall", "override", TUESDAY, "PM", not_on(planned, TUESDAY, "PM"))
    assert planned("oncall", "override", TUESDAY, "pm", "--cancel").exit_code == 0
    assert server(planned, TUESDAY, "PM") == was


def test_show_says_who_is_on_call_now_and_next_and_the_week(planned: Rollcall) -> None:
    found = said(planned("oncall", "show", "--json"))
    assert [one["rotation"] for one in found["now"]] == ["AM"]
    assert [one["rotation"] for one in found["next"]] == ["Core"]
    assert len(found["shifts"]) == 15
    table = planned("oncall", "show").stdout
    assert table.startswith(f"now   AM {found['now'][0]['on_call']} (Mon {MONDAY} 09:00-12:00)")


def test_on_a_saturday_it_shows_the_week_to_come(planned: Rollcall, clock: Clock) -> None:
    clock(at(in_days(5)))
    assert str(in_days(7)) in planned("oncall", "show").stdout


def test_show_of_somebody_and_the_balance(planned: Rollcall) -> None:
    mine = said(planned("oncall", "show", "--who", "ada@example.com", "--json"))["shifts"]
    assert {one["on_call"] for one in mine} == {"Ada"}
    balance = said(planned("oncall", "show", "--balance", "--json"))
    assert {one["name"] for one in balance} == {"Ada", "Ben", "Pia", "Quin", "Rosa"}
    assert "difference (h)" in planned("oncall", "show", "--balance").stdout


def test_why_names_who_could_and_who_could_not(planned: Rollcall) -> None:
    told = planned("oncall", "why", TUESDAY, "PM").stdout
    assert "could serve" in told
    assert "Ada: not in a pool of PM (PM)" in told


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("override", TUESDAY, "PM", "zoe@example.com"), "Nobody is known as zoe@example.com"),
        (("override", "2026-11-31", "PM", "ada@example.com"), "2026-11-31 is no day"),
        (("override", "2026-10-30", "PM", "ada@example.com"), "is over: history does not change"),
        (("override", TUESDAY, "night", "ada@example.com"), "night is no rotation"),
        (("override", in_days(5).isoformat(), "PM", "ada@example.com"), "is a Saturday"),
        (("why", in_days(5).isoformat()), "is a Saturday"),
        (("swap", "--accept", "7"), "Swap 7 is not open"),
        (("off", "--remove", "7"), "There is no time off 7"),
        (("holiday", TUESDAY, "--remove"), "said nothing of"),
        (("feed", "--revoke", "7"), "There is no feed 7"),
        (("settings", "zone=Mars"), "zone must be a time zone"),
        (("override", TUESDAY, "PM", "ada@example.com", "--because", "x" * 501), "write at most 500"),
        (("off", "ada@example.com", TUESDAY, "--because", "x" * 501), "write at most 500"),
        (("swap", TUESDAY, "PM", "ada@example.com", "--because", "x" * 501), "write at most 500"),
        (("holiday", TUESDAY, "--name", ""), "The name has 0 characters: write 1 to 100"),
        (("holiday", TUESDAY, "--name", "x" * 101), "The name has 101 characters: write 1 to 100"),
    ],
)
def test_a_no_is_a_sentence_and_exit_code_1(planned: Rollcall, arguments: tuple[str, ...], sentence: str) -> None:
    result = planned("oncall", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert sentence in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("override", TUESDAY, "PM"),
        ("override", TUESDAY, "PM", "ada@example.com", "--cancel"),
        ("swap",),
        ("swap", TUESDAY, "PM"),
        ("swap", "--accept", "1", "--decline", "1"),
        ("off",),
        ("off", "ada@example.com"),
        ("holiday",),
        ("feed",),
        ("feed", "ada@example.com", "--everybody"),
        ("settings", "zone"),
        ("import", "schedule.txt"),
        ("import", "nowhere.csv"),
        ("export", "no/such/folder.csv"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(rollcall: Rollcall, arguments: tuple[str, ...]) -> None:
    result = rollcall("oncall", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_too_few_people_are_refused_and_planned_with_anyway(rollcall: Rollcall, folder: Path) -> None:
    (folder / "two.yaml").write_text("AM: [ada@example.com]\nPM: [pia@example.com]\n")
    rollcall("oncall", "import", "two.yaml")
    result = rollcall("oncall", "plan")
    assert result.exit_code == 1
    assert "There are 2 people for 3 rotations" in result.stderr
    assert rollcall("oncall", "plan", "--anyway").exit_code == 0


def test_a_plan_names_what_nobody_serves_also_when_that_is_not_new(rollcall: Rollcall, folder: Path) -> None:
    (folder / "roster.yaml").write_text("AM: [ada@example.com, ben@example.com, cleo@example.com]\n")
    rollcall("oncall", "import", "roster.yaml")
    rollcall("oncall", "plan", "--anyway")
    again = rollcall("oncall", "plan", "--anyway")
    assert "No shift moves." in again.stdout
    assert f"Nobody serves PM on {MONDAY}, PM on {TUESDAY}" in again.stderr
    assert "and 40 more either, as before: override them with somebody." in again.stderr


def test_a_swap_is_asked_for_listed_and_accepted(planned: Rollcall) -> None:
    who = server(planned, TUESDAY, "PM")
    other = not_on(planned, TUESDAY, "PM")
    assert planned("oncall", "swap", TUESDAY, "PM", other).exit_code == 0
    (swap,) = said(planned("oncall", "swap", "--list", "--json"))
    assert (swap["shift"], swap["of"]) == (f"{TUESDAY} PM", who)
    assert str(swap["id"]) in planned("oncall", "swap", "--list").stdout
    assert planned("oncall", "swap", "--accept", str(swap["id"])).exit_code == 0
    assert f"{server(planned, TUESDAY, 'PM').lower()}@example.com" == other
    assert "No swap is asked for." in planned("oncall", "swap", "--list").stderr


def test_a_swap_for_one_of_theirs(planned: Rollcall) -> None:
    late, early = server(planned, TUESDAY, "PM"), server(planned, TUESDAY, "AM")
    asked = planned("oncall", "swap", TUESDAY, "PM", f"{early}@example.com", "--for", TUESDAY, "AM", "--json")
    moves = {(one["rotation"], one["after_name"].split()[0]) for one in said(asked)["moves"]}
    assert moves == {("PM", early), ("AM", late)}


def test_time_off_moves_shifts_is_listed_and_taken_back(planned: Rollcall) -> None:
    who = server(planned, TUESDAY, "PM").lower()
    assert planned("oncall", "off", f"{who}@example.com", f"{TUESDAY}..{in_days(3)}", "--because", "x").exit_code == 0
    assert server(planned, TUESDAY, "PM").lower() != who
    (away,) = said(planned("oncall", "off", "--list", "--json"))
    assert (away["name"].lower(), away["first"], away["last"]) == (who, TUESDAY, in_days(3).isoformat())
    assert planned("oncall", "off", "--remove", str(away["id"])).exit_code == 0
    assert said(planned("oncall", "off", "--list", "--json")) == []


def test_settings_are_shown_and_changed(planned: Rollcall, rows: Rows) -> None:
    assert said(planned("oncall", "settings", "--json"))["am"] == "09:00-12:00"
    assert planned("oncall", "settings", "zone=Europe/Berlin", "country=de", "working_days=Mon,Tue").exit_code == 0
    found = said(planned("oncall", "settings", "--json"))
    assert (found["zone"], found["country"], found["working_days"]) == ("Europe/Berlin", "DE", ["Mon", "Tue"])
    assert rows("SELECT * FROM oncall_schedule WHERE date = :d", d=in_days(9).isoformat()) == []
    assert "Europe/Berlin" in planned("oncall", "settings").stdout


def test_holidays_are_set_and_listed(planned: Rollcall) -> None:
    assert planned("oncall", "holiday", TUESDAY, "--name", "Founders' day").exit_code == 0
    assert said(planned("oncall", "holiday", "--list", "--json")) == [
        {"date": TUESDAY, "name": "Founders' day", "source": "own"}
    ]
    assert "is a holiday (Founders' day)" in planned("oncall", "why", TUESDAY).stderr


def test_a_feed_s_path_is_shown_once_and_ends_when_revoked(planned: Rollcall, rows: Rows) -> None:
    path = said(planned("oncall", "feed", "ada@example.com", "--json"))["path"]
    assert path.startswith("/oncall/")
    assert path.endswith(".ics")
    (feed,) = said(planned("oncall", "feed", "--list", "--json"))
    assert (feed["name"], feed["revoked_at"]) == ("Ada", None)
    assert path[8:-4] not in str(rows("SELECT * FROM oncall_feeds"))
    assert planned("oncall", "feed", "--revoke", str(feed["id"])).exit_code == 0
    assert said(planned("oncall", "feed", "--list", "--json"))[0]["revoked_at"]
    assert planned("oncall", "feed", "--everybody").stdout.startswith("/oncall/")
    assert "everybody" in planned("oncall", "feed", "--list").stdout
    assert planned("oncall", "feed", "--revoke", "9" * 30).exit_code == 2


# --- files ---


def test_every_bad_line_is_named_and_nothing_is_imported(planned: Rollcall, folder: Path, rows: Rows) -> None:
    lines = (f"{in_days(21)},PM,quin@example.com", f"{in_days(22)},PM,zoe@example.com", "soon,PM,quin@example.com")
    (folder / "schedule.csv").write_text("\n".join(("date,rotation,email", *lines)))
    result = planned("oncall", "import", "schedule.csv")
    assert result.exit_code == 2
    assert "line 3: Nobody is known as zoe@example.com" in result.stderr
    assert "line 4: soon is no day" in result.stderr
    assert "nothing was imported from schedule.csv" in result.stderr
    assert rows("SELECT * FROM oncall_schedule WHERE pinned") == []
    again = planned("oncall", "import", "schedule.csv", "--skip-bad")
    assert again.exit_code == 0
    assert "left out: line 3" in again.stderr
    assert [str(row["date"]) for row in rows("SELECT date FROM oncall_schedule WHERE pinned")] == [str(in_days(21))]


def test_lines_the_schedule_cannot_take_are_named_too(planned: Rollcall, folder: Path) -> None:
    lines = (f"{in_days(5)},PM,quin@example.com", "soon,PM,quin@example.com")
    (folder / "schedule.csv").write_text("\n".join(("date,rotation,email", *lines)))
    result = planned("oncall", "import", "schedule.csv")
    assert result.exit_code == 2
    assert "line 2: 2026-11-07 is a Saturday" in result.stderr
    assert "line 3: soon is no day" in result.stderr
    taken = planned("oncall", "import", "schedule.csv", "--skip-bad")
    assert "left out: line 2: 2026-11-07 is a Saturday" in taken.stderr


def test_export_and_import_are_each_other_s_reverse(planned: Rollcall, folder: Path, rows: Rows) -> None:
    assert said(planned("oncall", "export", "all.csv", "--json"))["shifts"] == len(
        rows("SELECT 1 FROM oncall_schedule")
    )
    shown = said(planned("oncall", "import", "all.csv", "--dry-run", "--skip-bad", "--json"))
    assert (shown["moves"], shown["added"], shown["done"]) == ([], [], False)


def test_a_roster_with_a_bad_line_is_refused_whole_or_taken_without_it(
    rollcall: Rollcall, folder: Path, rows: Rows
) -> None:
    (folder / "roster.yaml").write_text("AM: [ada@example.com, nobody]\nNight: [ben@example.com]\n")
    result = rollcall("oncall", "import", "roster.yaml")
    assert result.exit_code == 2
    assert "line 1: 'nobody' is not an e-mail address" in result.stderr
    assert "line 2: 'Night' is no rotation" in result.stderr
    assert rows("SELECT * FROM users") == []
    assert rollcall("oncall", "import", "roster.yaml", "--skip-bad", "--dry-run").exit_code == 0
    assert rows("SELECT * FROM users") == []
    assert said(rollcall("oncall", "import", "roster.yaml", "--skip-bad", "--json"))["skipped"] == 2
    assert [row["email"] for row in rows("SELECT email FROM users")] == ["ada@example.com"]
