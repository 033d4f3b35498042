"""Overrides, swaps and time off: what is shown before is what happens, and nothing else is changed."""

from datetime import date

import pytest

from handlers.oncall import asking, changing
from handlers.oncall.changing import confirm, preview
from handlers.oncall.consequence import spans
from handlers.oncall.keys import CALENDAR
from handlers.oncall.refusal import Changed
from handlers.oncall.requests import (
    AddTimeOff,
    AnswerSwap,
    AskSwap,
    LiftOverride,
    Override,
    RemoveTimeOff,
    Replan,
    SetHoliday,
    parse,
)
from tests.handlers.oncall.team import CONTEXT, MONDAY, Team, at, in_days

DAY = in_days(1)


def other_than(team: Team, *names: str | None) -> str:
    return next(name for name in team.ids if name not in names)


def test_an_override_shows_who_moves_and_how_the_differences_change(team: Team) -> None:
    was = team.server(DAY, "PM")
    instead = other_than(team, was)
    shown = preview(
        team.tx, CONTEXT, Override(date=DAY, rotation="PM", person=team.ids[instead], reason="ill"), team.now
    )
    assert shown.sentence == f"{instead} serves PM on {DAY} instead of {was}"
    assert [(str(m.slot.date), m.before_name[:3], m.after_name[:3], m.why) for m in shown.moves] == [
        (str(DAY), str(was)[:3], instead[:3], "ill")
    ]
    changes = {one.name: round(one.after - one.before, 2) for one in shown.differences}
    assert changes == {was: -3.0, instead: 3.0}
    assert team.server(DAY, "PM") == was


def test_an_override_keeps_whoever_was_planned_and_who_asked(team: Team) -> None:
    was = team.server(DAY, "PM")
    instead = other_than(team, was)
    team.override(DAY, "PM", instead, reason="ill", by=team.ids["Ada"])
    duty = team.duty(DAY, "PM")
    assert (duty.planned.name, duty.final_name, duty.final_email) == (was, instead, f"{instead.lower()}@example.com")
    assert duty.override
    assert (duty.override.reason, duty.override.asked_by) == ("ill", team.ids["Ada"])
    assert team.marks(CALENDAR) == [f"shift:{DAY}:PM"]
    assert team.told().keys() == {was, instead}


def test_a_second_override_replaces_the_first_and_the_planned_person_ends_it(team: Team) -> None:
    was = team.server(DAY, "PM")
    one = other_than(team, was)
    two = other_than(team, was, one)
    team.override(DAY, "PM", one)
    team.override(DAY, "PM", two)
    assert team.server(DAY, "PM") == two
    assert was
    team.override(DAY, "PM", was)
    assert team.duty(DAY, "PM").override is None


def test_cancelling_an_override_puts_back_whoever_was_planned(team: Team) -> None:
    was = team.server(DAY, "PM")
    team.override(DAY, "PM", other_than(team, was))
    team.ask(LiftOverride(date=DAY, rotation="PM"))
    assert team.server(DAY, "PM") == was


def test_a_second_shift_on_one_day_is_warned_of(team: Team) -> None:
    who = team.server(DAY, "Core")
    assert who
    shown = preview(team.tx, CONTEXT, Override(date=DAY, rotation="PM", person=team.ids[who]), team.now)
    assert shown.warnings == (f"{who} serves Core on that day too.",)


def test_what_would_not_be_as_it_was_shown_is_not_done(team: Team) -> None:
    was = team.server(DAY, "PM")
    one = other_than(team, was)
    request = Override(date=DAY, rotation="PM", person=team.ids[one])
    shown = preview(team.tx, CONTEXT, request, team.now)
    team.override(DAY, "PM", other_than(team, was, one))
    before = team.everything()
    with pytest.raises(Changed, match="changed since this was shown; nothing was done"):
        confirm(team.tx, CONTEXT, request, shown.digest, team.now)
    assert team.everything() == before


def test_a_decision_that_rests_on_what_has_changed_is_not_stored(team: Team) -> None:
    was = team.server(DAY, "PM")
    situation = changing.gather(team.tx, CONTEXT, team.now)
    request = Override(date=DAY, rotation="PM", person=team.ids[other_than(team, was)])
    decision = changing.decide(situation, request)
    team.override(in_days(2), "AM", other_than(team, team.server(in_days(2), "AM")))
    before = team.everything()
    assert not changing.apply(team.tx, CONTEXT, decision, team.now)
    assert team.everything() == before


def test_days_between_that_do_not_move_are_not_told_as_if_they_did(team: Team) -> None:
    who = team.server(in_days(21), "PM")
    instead = next(name for name in ("Pia", "Quin", "Rosa") if name != who)
    team.override(in_days(22), "PM", instead)
    assert who
    shown = team.ask(AddTimeOff(person=team.ids[who], first=in_days(21), last=in_days(25)))
    found = [(span.first, span.last) for span in spans(shown.moves)]
    assert (in_days(22), in_days(22)) not in found
    assert found == [(in_days(21), in_days(21)), (in_days(23), in_days(25))]


def overnight(empty: Team) -> Team:
    for name, pool in (("Ada", "AM"), ("Ben", "AM"), ("Pia", "PM"), ("Quin", "PM")):
        empty.join(name, pool)
    empty.set(am="06:00-14:00", core="14:00-22:00", pm="22:00-06:00")
    empty.plan()
    return empty


def test_after_midnight_a_shift_that_is_not_over_can_still_be_given_to_somebody_else(empty: Team) -> None:
    team = overnight(empty)
    was = team.server(MONDAY, "PM")
    instead = other_than(team, was)
    team.now = at(in_days(1), "02:00")
    history = team.rows("SELECT * FROM oncall_schedule WHERE date = :d AND rotation <> 'PM'", d=MONDAY.isoformat())
    team.override(MONDAY, "PM", instead, reason="ill")
    assert [duty.final_name for duty in asking.who(team.tx, CONTEXT, team.now).on] == [instead]
    assert f"shift:{MONDAY}:PM" in team.marks(CALENDAR)
    team.ask(LiftOverride(date=MONDAY, rotation="PM"))
    assert team.server(MONDAY, "PM") == was
    team.plan()
    assert history == team.rows(
        "SELECT * FROM oncall_schedule WHERE date = :d AND rotation <> 'PM'", d=MONDAY.isoformat()
    )


def test_a_shift_that_ran_past_midnight_is_history_once_it_is_over(empty: Team) -> None:
    team = overnight(empty)
    instead = other_than(team, team.server(MONDAY, "PM"))
    request = Override(date=MONDAY, rotation="PM", person=team.ids[instead])
    team.now = at(in_days(1), "06:00")
    assert f"PM on {MONDAY} is over: history does not change" in team.refused(request)
    team.now = at(in_days(1), "02:00")
    assert "is over" in team.refused(Override(date=MONDAY, rotation="Core", person=team.ids[instead]))


# --- swaps ---


def test_a_swap_changes_nothing_until_it_is_accepted(team: Team) -> None:
    mine, theirs = team.server(DAY, "PM"), team.server(DAY, "AM")
    assert mine
    assert theirs
    request = AskSwap(
        date=DAY, rotation="PM", other=team.ids[theirs], other_date=DAY, other_rotation="AM", by=team.ids[mine]
    )
    shown = team.ask(request)
    assert {(m.slot.rotation, m.before, m.after) for m in shown.moves} == {
        ("PM", team.ids[mine], team.ids[theirs]),
        ("AM", team.ids[theirs], team.ids[mine]),
    }
    assert (team.server(DAY, "PM"), team.server(DAY, "AM")) == (mine, theirs)
    assert team.told() == {theirs: [f"{mine} asks {theirs} to take PM on {DAY} for AM on {DAY}."]}
    swap = asking.open_swaps(team.tx, CONTEXT, team.ids[theirs])[0]
    team.ask(AnswerSwap(swap=swap.id, answer="accept", by=team.ids[theirs]))
    assert (team.server(DAY, "PM"), team.server(DAY, "AM")) == (theirs, mine)
    assert team.duty(DAY, "PM").planned.name == mine
    assert asking.open_swaps(team.tx, CONTEXT) == []


@pytest.mark.parametrize(("answer", "status"), [("decline", "declined"), ("cancel", "cancelled")])
def test_a_swap_that_is_declined_or_cancelled_moves_nobody_and_the_other_is_told(
    team: Team, answer: str, status: str
) -> None:
    mine = team.server(DAY, "PM")
    assert mine
    other = other_than(team, mine)
    team.ask(AskSwap(date=DAY, rotation="PM", other=team.ids[other], by=team.ids[mine]))
    swap = asking.open_swaps(team.tx, CONTEXT)[0]
    team.forget_marks()
    by = other if answer == "decline" else mine
    request = AnswerSwap.model_validate({"swap": swap.id, "answer": answer, "by": team.ids[by]})
    team.ask(request)
    assert team.server(DAY, "PM") == mine
    assert team.told().keys() == ({mine} if answer == "decline" else {other})
    assert team.rows("SELECT status FROM shift_swaps") == [{"status": status}]


def test_a_swap_ends_when_the_shift_goes_to_somebody_else_who_may_ask_for_one_then(team: Team) -> None:
    mine = team.server(DAY, "PM")
    assert mine
    other = other_than(team, mine)
    team.ask(AskSwap(date=DAY, rotation="PM", other=team.ids[other], by=team.ids[mine]))
    swap = asking.open_swaps(team.tx, CONTEXT)[0]
    third = other_than(team, mine, other)
    team.override(DAY, "PM", third)
    assert asking.open_swaps(team.tx, CONTEXT) == []
    assert "is not open (any more)" in team.refused(AnswerSwap(swap=swap.id, answer="accept"))
    said = f"The swap of PM on {DAY} between {mine} and {other} is cancelled: a shift of it moved, or is over."
    assert said in team.told()[mine]
    assert said in team.told()[other]
    team.ask(AskSwap(date=DAY, rotation="PM", other=team.ids[other], by=team.ids[third]))


def test_a_swap_nobody_answered_ends_with_its_day_and_nobody_is_told(team: Team) -> None:
    mine = team.server(DAY, "PM")
    assert mine
    team.ask(AskSwap(date=DAY, rotation="PM", other=team.ids[other_than(team, mine)], by=team.ids[mine]))
    team.forget_marks()
    team.now = at(in_days(2))
    team.plan()
    assert team.rows("SELECT status FROM shift_swaps") == [{"status": "cancelled"}]
    assert team.told() == {}


def test_a_swap_for_a_second_shift_on_one_day_is_warned_of(team: Team) -> None:
    mine, theirs = team.server(DAY, "PM"), team.server(DAY, "Core")
    assert mine
    assert theirs
    warned = (f"{theirs} serves Core on that day too.",)
    asked = AskSwap(date=DAY, rotation="PM", other=team.ids[theirs], by=team.ids[mine])
    assert team.ask(asked).warnings == warned
    swap = asking.open_swaps(team.tx, CONTEXT)[0]
    assert team.ask(AnswerSwap(swap=swap.id, answer="accept", by=team.ids[theirs])).warnings == warned


# --- time off ---


def test_time_off_gives_the_shifts_to_others_and_moves_nothing_else(team: Team) -> None:
    who = team.server(in_days(21), "PM")
    assert who
    before = {slot: team.server(*slot) for slot in team.days_of(who)}
    shown = team.ask(AddTimeOff(person=team.ids[who], first=in_days(21), last=in_days(25), reason="holidays"))
    assert {move.before for move in shown.moves} == {team.ids[who]}
    assert not [day for day, _ in team.days_of(who) if in_days(21) <= day <= in_days(25)]
    outside = {slot for slot in before if not in_days(21) <= slot[0] <= in_days(25)}
    assert set(team.days_of(who)) == outside
    (span,) = spans(shown.moves)
    assert span.days == f"Mon {in_days(21)} to Fri {in_days(25)}"
    assert span.move.after_name.startswith(str(team.server(in_days(21), "PM")))
    assert span.move.why == f"{who}: on leave {in_days(21)}..{in_days(25)}"


def test_time_off_ends_overrides_of_that_person_and_the_planned_one_serves(team: Team) -> None:
    was = team.server(DAY, "PM")
    instead = other_than(team, was)
    team.override(DAY, "PM", instead)
    team.ask(AddTimeOff(person=team.ids[instead], first=DAY, last=DAY))
    assert team.duty(DAY, "PM").override is None
    assert team.server(DAY, "PM") == was


def test_time_off_taken_back_keeps_the_days_that_are_past(team: Team) -> None:
    team.ask(AddTimeOff(person=team.ids["Ada"], first=in_days(7), last=in_days(11), anyway=True))
    team.now = at(in_days(9))
    absence = asking.absences(team.tx, CONTEXT, team.now)[0][0]
    team.ask(RemoveTimeOff(absence=absence.id))
    left = team.rows("SELECT first_date, last_date FROM time_off")
    assert [(str(row["first_date"]), str(row["last_date"])) for row in left] == [(str(in_days(7)), str(in_days(8)))]


def test_a_shift_that_has_begun_stays_with_whoever_leaves_and_they_are_told_so(team: Team) -> None:
    """Nobody is on leave and on call unseen."""
    team.now = at(MONDAY, "10:00")
    who = team.server(MONDAY, "AM")
    assert who
    shown = team.ask(AddTimeOff(person=team.ids[who], first=MONDAY, last=in_days(2)))
    assert shown.warnings == (
        f"AM on {MONDAY} has begun and stays with {who}: override it with somebody who can finish it.",
    )
    assert team.server(MONDAY, "AM") == who


def test_whoever_is_back_serves_at_once_what_nobody_could_take(empty: Team) -> None:
    for name, pool in (("Ada", "AM"), ("Ben", "AM"), ("Pia", "PM")):
        empty.join(name, pool)
    empty.plan()
    empty.ask(AddTimeOff(person=empty.ids["Pia"], first=DAY, last=in_days(4), anyway=True))
    assert empty.server(DAY, "PM") is None
    absence = asking.absences(empty.tx, CONTEXT, empty.now)[0][0]
    shown = empty.ask(RemoveTimeOff(absence=absence.id))
    assert empty.server(DAY, "PM") == "Pia"
    assert {(move.slot.rotation, move.before, move.after) for move in shown.moves} == {("PM", None, empty.ids["Pia"])}


def test_leave_earns_nothing_so_the_difference_stands_still_meanwhile(team: Team) -> None:
    team.ask(AddTimeOff(person=team.ids["Rosa"], first=in_days(14), last=in_days(60)))
    differences = []
    for day in (14, 35, 56):
        team.now = at(in_days(day))
        found = {one.name: one.difference for one in asking.balance(team.tx, CONTEXT, team.now)}
        differences.append(found["Rosa"])
    assert len(set(differences)) == 1


# --- requests ---


def test_a_request_survives_the_trip_through_a_modal(team: Team) -> None:
    for request in (
        Replan(anyway=True),
        Override(date=DAY, rotation="PM", person=3, reason="…", by=1),
        AskSwap(date=DAY, rotation="PM", other=2, other_date=MONDAY, other_rotation="AM"),
        AddTimeOff(person=1, first=DAY, last=date(2026, 12, 31)),
        SetHoliday(date=DAY, name="x"),
    ):
        assert parse(request.model_dump_json()) == request
