"""A schedule from a file: every bad line is named, nothing is taken unless all are good or it is asked for."""

import pytest

from db.oncall import Duty
from handlers.oncall import asking, importing
from handlers.oncall.changing import preview
from handlers.oncall.importing import Read
from handlers.oncall.refusal import BadLines, Refusal
from handlers.oncall.requests import AddTimeOff
from tests.handlers.oncall.team import CONTEXT, MONDAY, Team, at, in_days

HEAD = "date,rotation,email,override,reason\n"


def read(team: Team, *lines: str, head: str = HEAD) -> Read:
    return importing.read(team.tx, CONTEXT, head + "\n".join(lines), team.now)


def take(team: Team, *lines: str, **more: bool) -> None:
    found = read(team, *lines)
    assert found.complaints == ()
    team.ask(found.request.model_copy(update=more))


def served(duty: Duty) -> tuple[str | None, str | None, bool]:
    return duty.planned.name, duty.final_name, duty.planned.pinned


def test_past_lines_become_history_and_lines_to_come_are_pinned(team: Team) -> None:
    take(
        team,
        "2026-10-26,AM,ada@example.com,ben@example.com,dentist",
        f"{in_days(21)},PM,quin@example.com,,",
    )
    assert served(team.duty(in_days(-7), "AM")) == ("Ada", "Ben", True)
    assert served(team.duty(in_days(21), "PM")) == ("Quin", "Quin", True)
    team.plan()
    assert team.server(in_days(21), "PM") == "Quin"


def test_whoever_served_before_we_knew_them_is_not_taken_for_a_newcomer(team: Team) -> None:
    weeks = [f"{in_days(-7 * week + day)},AM,ada@example.com,," for week in (1, 2, 3) for day in range(5)]
    take(team, *weeks)
    since = team.rows("SELECT since FROM oncall_members WHERE user_id = :id", id=team.ids["Ada"])
    assert str(since[0]["since"]) == str(in_days(-21))
    difference = {one.name: one.difference for one in asking.balance(team.tx, CONTEXT, team.now)}
    assert difference["Ada"] == 0  # nobody else was there to share with
    assert difference["Ben"] == 0


def test_somebody_of_the_past_whom_nobody_knows_keeps_their_address(team: Team) -> None:
    take(team, "2026-10-26,AM,old.timer@example.com,,")
    duty = team.duty(in_days(-7), "AM")
    assert (duty.final_id, duty.final_email, duty.final_name) == (None, "old.timer@example.com", "old.timer")


def test_a_pinned_shift_goes_to_somebody_else_when_its_person_cannot(team: Team) -> None:
    take(team, f"{in_days(21)},PM,quin@example.com,,")
    team.ask(AddTimeOff(person=team.ids["Quin"], first=in_days(21), last=in_days(21)))
    assert team.server(in_days(21), "PM") in {"Pia", "Rosa"}


def test_an_imported_shift_says_so_when_asked_why(team: Team) -> None:
    take(team, f"{in_days(21)},PM,quin@example.com,,")
    assert asking.why(team.tx, CONTEXT, in_days(21), "PM", team.now)[0].reason is None


BAD = {
    "2026-13-01,AM,ada@example.com,,": "line 2: 2026-13-01 is no day: write it as 2026-12-24.",
    "today,AM,ada@example.com,,": "line 2: today is no day: write it as 2026-12-24.",
    "2026-11-03,Night,ada@example.com,,": "line 2: Night is no rotation: write AM, Core or PM.",
    "2026-11-03,AM,ada,,": "line 2: ada is not an e-mail address.",
    "2026-11-03,AM,zoe@example.com,,": "line 2: Nobody is known as zoe@example.com: put them on the roster first",
    "2026-11-03,AM,ada@example.com,zoe@example.com,": "line 2: Nobody is known as zoe@example.com",
    "2026-11-03,AM,ada@example.com,,,x": "line 2: It has more columns than the header",
    "2026-11-03,AM,ada@example.com,," + "x" * 501: "line 2: The reason has 501 characters: write at most 500.",
}


@pytest.mark.parametrize("line", BAD)
def test_a_line_that_cannot_be_read_is_named(team: Team, line: str) -> None:
    found = read(team, line)
    assert found.request.lines == ()
    (complaint,) = found.complaints
    assert complaint.startswith(BAD[line])


def test_the_same_shift_twice_is_named(team: Team) -> None:
    line = "2026-11-03,AM,ada@example.com,,"
    assert read(team, line, line).complaints == ("line 3: AM on 2026-11-03 is on line 2 already: keep one.",)


def test_lines_the_schedule_cannot_take_are_all_named_and_nothing_is_imported(team: Team) -> None:
    team.now = at(in_days(2), "10:00")
    team.join("Sam", "PM", status="inactive")
    lines = (
        f"{MONDAY},AM,ada@example.com,,",
        f"{in_days(2)},AM,ada@example.com,,",
        f"{in_days(5)},AM,ada@example.com,,",
        f"{in_days(7)},PM,sam@example.com,,",
        f"{in_days(8)},PM,quin@example.com,,",
    )
    request = read(team, *lines).request
    team.refused(request)
    with pytest.raises(BadLines) as caught:
        preview(team.tx, CONTEXT, request, team.now)
    said = caught.value.complaints
    assert [line.partition(":")[0] for line in said] == ["line 2", "line 3", "line 4", "line 5"]
    assert "is history already, which does not change" in said[0]
    assert "has begun" in said[1]
    assert "is a Saturday" in said[2]
    assert "Sam is inactive" in said[3]


def test_lines_that_cannot_be_read_and_lines_that_cannot_be_planned_are_named_together(team: Team) -> None:
    found = read(team, f"{in_days(5)},AM,ada@example.com,,", "soon,AM,ada@example.com,,", f"{in_days(6)},AM,,,")
    said = importing.all_complaints(team.tx, CONTEXT, found, team.now)
    assert [line.partition(":")[0] for line in said] == ["line 2", "line 3", "line 4"]
    assert "is a Saturday" in said[0]
    assert "is no day" in said[1]
    assert "is a Sunday" in said[2]


def test_with_skip_bad_the_good_lines_are_taken(team: Team) -> None:
    take(team, f"{in_days(5)},AM,ada@example.com,,", f"{in_days(21)},PM,quin@example.com,,", skip_bad=True)
    assert team.server(in_days(21), "PM") == "Quin"
    assert team.rows("SELECT * FROM oncall_schedule WHERE date = :d", d=in_days(5).isoformat()) == []


@pytest.mark.parametrize(
    "text", ["", "when,who\n1,2\n", HEAD, "date,date,rotation,email\n", 'date,rotation,email\n"2026-11-03,AM\n']
)
def test_a_file_that_is_no_schedule_is_refused(team: Team, text: str) -> None:
    with pytest.raises(Refusal):
        importing.read(team.tx, CONTEXT, text, team.now)


def test_what_is_exported_can_be_imported_elsewhere_and_is_the_same(team: Team) -> None:
    team.override(in_days(1), "PM", next(name for name in team.ids if name != team.server(in_days(1), "PM")))
    text = importing.write(team.tx, CONTEXT)
    before = {(d.planned.date, d.planned.rotation): served(d)[:2] for d in everything(team)}
    team.tx.exec_driver_sql("DELETE FROM oncall_schedule")
    team.ask(importing.read(team.tx, CONTEXT, text, team.now).request)
    assert {(d.planned.date, d.planned.rotation): served(d)[:2] for d in everything(team)} == before
    assert importing.write(team.tx, CONTEXT) == text


def everything(team: Team) -> list[Duty]:
    return [duty for week in range(9) for duty in asking.week(team.tx, CONTEXT, in_days(7 * week))]
