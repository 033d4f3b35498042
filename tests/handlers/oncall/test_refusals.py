"""Bad input: each gets a sentence that says what is wrong and what to type instead, and nothing is written."""

from datetime import date

import pytest
from sqlalchemy import text

from handlers.oncall import asking, words
from handlers.oncall.refusal import Refusal
from handlers.oncall.requests import (
    AddTimeOff,
    AnswerSwap,
    AskSwap,
    ChangeSettings,
    LiftOverride,
    Override,
    RemoveTimeOff,
    Replan,
    SetHoliday,
    UnsetHoliday,
)
from tests.handlers.oncall.team import CONTEXT, MONDAY, Team, at, in_days

DAY = in_days(1)


def spare(team: Team, day: date, rotation: str) -> int:
    """Somebody who does not serve that slot."""
    return next(id_ for name, id_ in team.ids.items() if name != team.server(day, rotation))


def test_an_unknown_person(team: Team) -> None:
    with pytest.raises(Refusal, match=r"Nobody is known as zoe@example\.com: write an e-mail address"):
        words.person(team.tx, "zoe@example.com")


@pytest.mark.parametrize("said", ["2026-02-30", "soonish", "2026-1-1", "9999-12-31", "mo", "", "2026-11-03x"])
def test_an_unknown_date(said: str) -> None:
    with pytest.raises(Refusal, match=r"is no day: write it as 2026-11-02, or today, tomorrow, friday\."):
        words.day(said, MONDAY)


def test_what_is_typed_is_not_repeated_at_any_length() -> None:
    with pytest.raises(Refusal) as caught:
        words.day("9" * 5_000, MONDAY)
    assert str(caught.value).startswith("9" * 80 + "… is no day: write it as")


@pytest.mark.parametrize(
    ("said", "first", "last"),
    [
        ("monday..friday", 5, 9),
        ("today..friday", 0, 2),
        ("friday..monday", 2, 5),
        ("tomorrow .. thursday", 1, 1),
        ("2026-11-20..tuesday", 16, 20),
        ("wednesday", 0, 0),
    ],
)
def test_a_weekday_at_the_end_is_the_next_one_from_the_beginning_on(said: str, first: int, last: int) -> None:
    wednesday = in_days(2)
    assert words.days(said, wednesday) == (in_days(2 + first), in_days(2 + last))


def test_a_reason_or_a_name_too_long() -> None:
    with pytest.raises(Refusal, match=r"The reason has 501 characters: write at most 500\."):
        words.reason("x" * 501)
    for name in ("", "  ", "x" * 101):
        with pytest.raises(Refusal, match=r"The name has \d+ characters: write 1 to 100\."):
            words.title(name)


def test_an_unknown_rotation(team: Team) -> None:
    with pytest.raises(Refusal, match=r"night is no rotation: write AM, Core or PM\."):
        words.rotation("night")
    request = Override(date=DAY, rotation="night", person=team.ids["Ada"])
    assert team.refused(request) == "night is no rotation: write AM, Core or PM."


def test_a_date_in_the_past(team: Team) -> None:
    team.now = at(in_days(8))
    said = team.refused(Override(date=DAY, rotation="PM", person=spare(team, DAY, "PM")))
    assert said == f"PM on {DAY} is over: history does not change. Name a day from {in_days(8)} on."
    assert "is past" in team.refused(AddTimeOff(person=team.ids["Ada"], first=MONDAY, last=in_days(1)))
    assert "is past" in team.refused(SetHoliday(date=MONDAY))


def test_a_shift_of_today_that_is_over(team: Team) -> None:
    team.now = at(MONDAY, "12:00")
    assert "is over" in team.refused(Override(date=MONDAY, rotation="AM", person=spare(team, MONDAY, "AM")))


def test_overlapping_leave(team: Team) -> None:
    team.ask(AddTimeOff(person=team.ids["Ada"], first=in_days(20), last=in_days(24)))
    said = team.refused(AddTimeOff(person=team.ids["Ada"], first=in_days(24), last=in_days(30)))
    (row,) = team.rows("SELECT id FROM time_off")
    assert said == (
        f"Ada is away {in_days(20)}..{in_days(24)} already: name only the days beside it, or end that time off first:"
        f" `/oncall back {in_days(20)}`, or `rollcall oncall off --remove {row['id']}`."
    )


def test_leave_that_begins_in_the_past(team: Team) -> None:
    """What was earned by then does not change any more."""
    team.now = at(in_days(2))
    said = team.refused(AddTimeOff(person=team.ids["Ada"], first=MONDAY, last=in_days(4)))
    assert said.endswith(f"begins in the past, which does not change: write {in_days(2)}..{in_days(4)}.")


def test_leave_that_ends_before_it_begins(team: Team) -> None:
    said = team.refused(AddTimeOff(person=team.ids["Ada"], first=in_days(5), last=in_days(3)))
    assert said.endswith(f"write {in_days(3)}..{in_days(5)}.")
    with pytest.raises(Refusal, match="ends before it begins"):
        words.days("2026-12-31..2026-12-24", MONDAY)


def test_an_override_by_someone_outside_the_workspace(team: Team) -> None:
    outsider = team.join("Zoe")
    assert "not in this workspace" in team.refused(Override(date=DAY, rotation="PM", person=outsider))
    said = team.refused(Override(date=DAY, rotation="PM", person=spare(team, DAY, "PM"), by=outsider))
    assert said.startswith("You are not in this workspace: ask an administrator")


def test_what_only_administrators_may(team: Team) -> None:
    ada, ben = team.ids["Ada"], team.ids["Ben"]
    for request in (
        Replan(by=ada),
        SetHoliday(date=DAY, by=ada),
        ChangeSettings(changes={"zone": "UTC"}, by=ada),
        AddTimeOff(person=ben, first=DAY, last=DAY, by=ada),
    ):
        assert "Only an administrator can" in team.refused(request)
    team.ask(AddTimeOff(person=ben, first=in_days(70), last=in_days(71), by=ben))
    absence = asking.absences(team.tx, CONTEXT, team.now)[0][0].id
    assert "not your time off" in team.refused(RemoveTimeOff(absence=absence, by=ada))
    boss = team.join("Boss")
    team.tx.execute(text("UPDATE users SET role = 'admin' WHERE id = :id"), {"id": boss})
    team.ask(RemoveTimeOff(absence=absence, by=boss))
    team.ask(Override(date=DAY, rotation="PM", person=spare(team, DAY, "PM"), by=boss))


def test_an_override_with_somebody_who_is_not_active(team: Team) -> None:
    sleeper = team.join("Sam", "PM", status="inactive")
    said = team.refused(Override(date=DAY, rotation="PM", person=sleeper))
    assert said == "Sam is inactive, so they cannot be on call: name somebody else."


def test_an_override_with_somebody_who_is_away(team: Team) -> None:
    away = spare(team, DAY, "PM")
    team.ask(AddTimeOff(person=away, first=DAY, last=DAY, anyway=True))
    assert "is away" in team.refused(Override(date=DAY, rotation="PM", person=away))


def test_an_override_with_whoever_serves_already(team: Team) -> None:
    who = team.duty(DAY, "PM").final_id
    assert who
    assert team.refused(Override(date=DAY, rotation="PM", person=who)).endswith(
        f"for PM on {DAY} already: name somebody else."
    )


def test_no_override_to_cancel(team: Team) -> None:
    assert "has no override" in team.refused(LiftOverride(date=DAY, rotation="PM"))


def test_an_override_cannot_be_cancelled_when_whoever_was_planned_is_away(team: Team) -> None:
    who = team.duty(DAY, "PM").final_id
    assert who
    team.ask(Override(date=DAY, rotation="PM", person=spare(team, DAY, "PM")))
    team.ask(AddTimeOff(person=who, first=DAY, last=DAY))
    assert "override it with somebody else instead" in team.refused(LiftOverride(date=DAY, rotation="PM"))


def test_a_swap_with_oneself(team: Team) -> None:
    who = team.duty(DAY, "PM").final_id
    assert who
    said = team.refused(AskSwap(date=DAY, rotation="PM", other=who, by=who))
    assert said == "You cannot swap with yourself: name somebody else."


def test_a_swap_of_somebody_else_s_shift(team: Team) -> None:
    other = spare(team, DAY, "PM")
    said = team.refused(AskSwap(date=DAY, rotation="PM", other=team.ids["Ada"], by=other))
    assert said == f"PM on {DAY} is not yours but {team.server(DAY, 'PM')}'s: swap one of yours."


def test_a_swap_for_a_shift_that_is_not_the_other_s(team: Team) -> None:
    who = team.duty(DAY, "PM").final_id
    stranger = next(id_ for id_ in team.ids.values() if id_ not in (who, team.duty(DAY, "AM").final_id))
    request = AskSwap(date=DAY, rotation="PM", other=stranger, other_date=DAY, other_rotation="AM", by=who)
    assert team.refused(request).endswith("name one of theirs.")


def test_a_second_swap_of_the_same_shift(team: Team) -> None:
    who = team.duty(DAY, "PM").final_id
    team.ask(AskSwap(date=DAY, rotation="PM", other=spare(team, DAY, "PM"), by=who))
    again = team.refused(AskSwap(date=DAY, rotation="PM", other=spare(team, DAY, "PM"), by=who))
    assert again == f"A swap of PM on {DAY} is asked for already: cancel that one first."


def test_an_answer_to_a_swap_that_is_not_open_or_not_one_s_own(team: Team) -> None:
    assert "is not open" in team.refused(AnswerSwap(swap=99, answer="accept"))
    who, other = team.duty(DAY, "PM").final_id, spare(team, DAY, "PM")
    team.ask(AskSwap(date=DAY, rotation="PM", other=other, by=who))
    swap = asking.open_swaps(team.tx, CONTEXT)[0].id
    assert team.refused(AnswerSwap(swap=swap, answer="accept", by=who)).startswith("Only ")
    assert team.refused(AnswerSwap(swap=swap, answer="cancel", by=other)).startswith("Only ")


def test_a_holiday(team: Team) -> None:
    team.ask(SetHoliday(date=in_days(3), name="Founders' day"))
    said = team.refused(Override(date=in_days(3), rotation="PM", person=team.ids["Pia"]))
    assert said == f"{in_days(3)} is a holiday (Founders' day): nobody is on call. Name a working day."
    with pytest.raises(Refusal, match="is a holiday"):
        asking.why(team.tx, CONTEXT, in_days(3), None, team.now)


def test_a_weekend_is_not_worked_for_being_no_holiday(team: Team) -> None:
    said = team.refused(SetHoliday(date=in_days(5), worked=True))
    assert said.startswith(f"{in_days(5)} is a Saturday, which is not worked anyway: --worked is for holidays")


def test_a_weekend(team: Team) -> None:
    said = team.refused(Override(date=in_days(5), rotation="PM", person=team.ids["Pia"]))
    assert said == f"{in_days(5)} is a Saturday: nobody is on call. Working days are Mon, Tue, Wed, Thu, Fri."


def test_a_day_beyond_the_plan(team: Team) -> None:
    said = team.refused(Override(date=in_days(365), rotation="PM", person=team.ids["Pia"]))
    assert "is not planned yet: the schedule goes to 2027-01-01" in said


def test_nothing_planned_yet(empty: Team) -> None:
    pia = empty.join("Pia", "PM")
    assert "run `rollcall oncall plan` first" in empty.refused(Override(date=DAY, rotation="PM", person=pia))


def test_a_holiday_the_workspace_said_nothing_of(team: Team) -> None:
    assert "said nothing of" in team.refused(UnsetHoliday(date=DAY))


def test_an_unfillable_slot(empty: Team) -> None:
    for name, pool in (("Ada", "AM"), ("Ben", "AM"), ("Pia", "PM")):
        empty.join(name, pool)
    empty.plan()
    said = empty.refused(AddTimeOff(person=empty.ids["Pia"], first=DAY, last=DAY))
    assert said == (
        f"Nobody could take PM on {DAY} if Pia is away then:"
        " find somebody and override it first, or leave it unfilled with --anyway."
    )


def test_two_people_and_three_rotations(empty: Team) -> None:
    empty.join("Ada", "AM")
    empty.join("Pia", "PM")
    said = empty.refused(Replan())
    assert said.startswith("There are 2 people for 3 rotations: somebody would serve two on a day. Add people with")
    assert empty.plan(anyway=True).added


def test_a_rotation_with_nobody(empty: Team) -> None:
    for name in ("Ada", "Ben", "Cleo"):
        empty.join(name, "AM")
    assert empty.refused(Replan()).startswith("Nobody is in rotation PM: put people in with `rollcall import roster")


def test_time_off_that_is_not_there_or_over(team: Team) -> None:
    assert "There is no time off 99" in team.refused(RemoveTimeOff(absence=99))
    team.ask(AddTimeOff(person=team.ids["Ada"], first=DAY, last=DAY))
    absence = asking.absences(team.tx, CONTEXT, team.now)[0][0].id
    team.now = at(in_days(3))
    assert "is past" in team.refused(RemoveTimeOff(absence=absence))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"zone": "Berlin"}, "zone must be a time zone such as Europe/Berlin"),
        ({"am": "9-12"}, "am must be hours such as 09:00-12:00"),
        ({"pm": "18:00-18:00"}, "pm must be hours"),
        ({"working_days": "Someday"}, "working_days must be days such as Mon,Tue"),
        ({"working_days": ""}, "working_days must be days"),
        ({"country": "XX"}, "country must be a code such as US, DE or IN"),
        ({"country": "DE", "subdivision": "TX"}, "subdivision of DE must be one of"),
        ({"subdivision": "BE"}, "subdivision needs a country"),
        ({"freeze_days": "-1"}, "freeze_days Input should be greater than or equal to 0"),
        ({"horizon_days": "many"}, "horizon_days Input should be a valid integer"),
        ({"block": "month"}, "block Input should be 'week' or 'day'"),
        ({"plan_at": "25:00"}, "plan_at must be a time of day such as 02:00"),
        ({"night": "1"}, "night is no setting; there are zone, am, core"),
    ],
)
def test_settings_that_cannot_be(team: Team, changes: dict[str, str], said: str) -> None:
    assert said in team.refused(ChangeSettings(changes=changes))
