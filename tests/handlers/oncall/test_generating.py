"""Planning: every working day has its three shifts, whoever goes is replaced, and what is past or frozen stays."""

from datetime import date, timedelta

from sqlalchemy import text

from db import people
from handlers.oncall.keys import CALENDAR
from handlers.oncall.requests import AddTimeOff, SetHoliday, UnsetHoliday
from tests.handlers.oncall.team import MONDAY, Team, at, in_days, iso

FROZEN = "SELECT date, rotation, user_id FROM oncall_schedule WHERE date < :d ORDER BY date, rotation"


def test_every_working_day_to_the_horizon_has_its_shifts_with_the_hours_of_s2_1(team: Team) -> None:
    found = team.rows("SELECT date, count(*) AS n FROM oncall_schedule GROUP BY date ORDER BY date")
    days = [date.fromisoformat(str(row["date"])) for row in found]
    assert days[0] == MONDAY
    assert days[-1] >= in_days(56)
    assert all(row["n"] == 3 for row in found)
    assert all(day.weekday() < 5 for day in days)
    hours = {name: team.duty(MONDAY, name).planned for name in ("AM", "Core", "PM")}
    assert {name: (iso(row.starts_at)[11:16], iso(row.ends_at)[11:16]) for name, row in hours.items()} == {
        "AM": ("09:00", "12:00"),
        "Core": ("12:00", "18:00"),
        "PM": ("18:00", "21:00"),
    }


def test_members_of_the_am_pool_serve_am_and_core_those_of_pm_serve_pm_and_core(team: Team) -> None:
    for name in ("Ada", "Ben"):
        assert {rotation for _, rotation in team.days_of(name)} <= {"AM", "Core"}
    for name in ("Pia", "Quin", "Rosa"):
        assert {rotation for _, rotation in team.days_of(name)} <= {"PM", "Core"}


def test_planning_again_changes_nothing_marks_nothing_and_tells_nobody(team: Team) -> None:
    before = team.everything()
    consequence = team.plan()
    assert (consequence.moves, consequence.added) == ((), ())
    assert team.everything() == before


def test_each_day_the_schedule_grows_at_its_end_only(team: Team) -> None:
    team.now = at(in_days(7))
    consequence = team.plan()
    assert consequence.moves == ()
    assert {move.slot.date for move in consequence.added} == {in_days(63 + n) for n in range(5)}
    assert team.marks(CALENDAR) == sorted(f"shift:{m.slot.date}:{m.slot.rotation}" for m in consequence.added)
    assert team.told() == {}


def test_a_leaver_has_future_shifts_reassigned_and_past_rows_stay(team: Team) -> None:
    team.now = at(in_days(3))
    served = team.rows("SELECT * FROM oncall_schedule WHERE date < :day", day=in_days(3).isoformat())
    team.status("Pia", "inactive")
    consequence = team.plan()
    assert [day for day, _ in team.days_of("Pia") if day >= in_days(3)] == []
    assert consequence.unfilled == ()
    assert team.rows("SELECT * FROM oncall_schedule WHERE date < :day", day=in_days(3).isoformat()) == served


def test_exactly_those_whose_shifts_moved_are_told(team: Team) -> None:
    day = in_days(2)
    gone, also = team.server(day, "PM"), team.server(day, "Core")
    assert gone
    assert gone != also
    consequence = team.ask(AddTimeOff(person=team.ids[gone], first=day, last=day))
    moved = {team.server(day, "PM"), gone}
    assert {name for name, id_ in team.ids.items() if id_ in consequence.moved()} == moved
    assert team.told().keys() == moved
    assert all(str(day) in message for messages in team.told().values() for message in messages)
    assert team.marks(CALENDAR) == [f"shift:{day}:PM"]


def test_inside_the_freeze_window_only_what_became_impossible_moves(team: Team) -> None:
    keep = team.rows(FROZEN, d=in_days(14).isoformat())
    team.join("Nora", "PM")
    team.plan()
    assert team.rows(FROZEN, d=in_days(14).isoformat()) == keep
    assert team.days_of("Nora")


def test_a_slot_nobody_can_serve_is_left_visibly_unfilled_with_one_alert(empty: Team) -> None:
    for name, pool in (("Ada", "AM"), ("Pia", "PM")):
        empty.join(name, pool)
    empty.plan()
    empty.ask(AddTimeOff(person=empty.ids["Pia"], first=in_days(1), last=in_days(1), anyway=True))
    duty = empty.duty(in_days(1), "PM")
    assert (duty.final_id, duty.final_name) == (None, None)
    assert len(empty.alerts()) == 1
    assert empty.alerts()[0].startswith("alert:oncall-unfilled:")
    empty.plan()
    assert len(empty.alerts()) == 1


def test_nobody_in_any_rotation_is_no_schedule_and_no_alert(empty: Team) -> None:
    consequence = empty.plan()
    assert (consequence.added, empty.alerts()) == ((), [])
    assert empty.rows("SELECT * FROM oncall_schedule") == []


def test_a_holiday_of_the_workspace_has_no_shifts_until_it_is_taken_back(team: Team) -> None:
    consequence = team.ask(SetHoliday(date=in_days(4), name="Founders' day"))
    assert {move.slot for move in consequence.moves} == {(in_days(4), name) for name in ("AM", "Core", "PM")}
    assert team.rows("SELECT * FROM oncall_schedule WHERE date = :d", d=in_days(4).isoformat()) == []
    assert team.marks(CALENDAR) == [f"shift:{in_days(4)}:{name}" for name in ("AM", "Core", "PM")]
    team.ask(UnsetHoliday(date=in_days(4)))
    assert team.server(in_days(4), "AM")


def test_the_country_s_holidays_come_from_the_library_and_a_worked_one_is_planned(team: Team) -> None:
    christmas = date(2026, 12, 25)
    assert team.server(christmas, "AM")
    team.set(country="DE", subdivision="BE")
    assert team.rows("SELECT * FROM oncall_schedule WHERE date = :d", d=christmas.isoformat()) == []
    assert team.rows("SELECT source FROM holidays WHERE date = :d", d=christmas.isoformat()) == [{"source": "country"}]
    team.ask(SetHoliday(date=christmas, name="Open", worked=True))
    assert team.server(christmas, "AM")
    team.set(country="none", subdivision="none")
    found = team.rows(
        "SELECT source, count(*) AS n FROM holidays WHERE date > :d GROUP BY source", d=MONDAY.isoformat()
    )
    assert found == [{"source": "worked", "n": 1}]


def test_a_shift_that_has_begun_stays_whoever_goes(team: Team) -> None:
    who = team.server(MONDAY, "AM")
    assert who
    team.now = at(MONDAY, "10:00")
    team.ask(AddTimeOff(person=team.ids[who], first=MONDAY, last=MONDAY))
    assert team.server(MONDAY, "AM") == who


def test_whoever_is_gone_on_their_first_day_is_called_by_their_name(team: Team) -> None:
    team.status("Ada", "inactive")
    whys = {move.why for move in team.plan().moves if move.before == team.ids["Ada"]}
    assert whys == {f"Ada: not active after {in_days(-1)}"}


def test_the_first_plan_of_a_day_leaves_out_shifts_that_are_over(empty: Team) -> None:
    for name, pool in (("Ada", "AM"), ("Ben", "AM"), ("Pia", "PM")):
        empty.join(name, pool)
    empty.now = at(MONDAY, "15:00")
    empty.plan()
    found = empty.rows("SELECT rotation FROM oncall_schedule WHERE date = :d ORDER BY 1", d=MONDAY.isoformat())
    assert [row["rotation"] for row in found] == ["Core", "PM"]


def test_new_hours_move_the_shifts_to_come_and_none_that_are_past(team: Team) -> None:
    team.now = at(in_days(2), "08:00")
    past = team.rows("SELECT * FROM oncall_schedule WHERE date < :d", d=in_days(2).isoformat())
    team.set(zone="America/New_York", pm="17:00-20:00")
    row = team.duty(in_days(3), "PM").planned
    assert (iso(row.starts_at)[11:16], iso(row.ends_at)[11:16]) == ("22:00", "01:00")
    assert team.rows("SELECT * FROM oncall_schedule WHERE date < :d", d=in_days(2).isoformat()) == past


def test_daily_blocks_by_setting(empty: Team) -> None:
    for name in ("Ada", "Ben", "Cleo"):
        empty.join(name, "AM", "PM")
    empty.set(block="day")
    empty.plan()
    week = [empty.server(in_days(n), "AM") for n in range(5)]
    assert len(set(week)) > 1


def test_somebody_who_comes_back_has_no_debt_for_the_time_between(team: Team) -> None:
    team.status("Rosa", "inactive")
    team.plan()
    team.now = at(in_days(28))
    team.status("Rosa", "active")
    team.plan()
    periods = team.rows(
        "SELECT since, until FROM oncall_members WHERE user_id = :id ORDER BY since", id=team.ids["Rosa"]
    )
    assert [str(row["since"]) for row in periods] == [in_days(28).isoformat()]
    shifts = {name: len(team.days_of(name)) for name in ("Quin", "Rosa")}
    assert shifts["Rosa"] < shifts["Quin"]


def test_the_name_a_shift_shows_follows_the_person_but_not_into_the_past(team: Team) -> None:
    name = team.server(MONDAY, "AM")
    assert name
    team.now = at(in_days(1))
    team.tx.execute(text("UPDATE users SET name = 'New Name' WHERE id = :id"), {"id": team.ids[name]})
    team.plan()
    assert team.server(MONDAY, "AM") == name
    assert team.server(in_days(1), "AM") == "New Name"


def test_people_with_another_rotation_now_serve_it_from_the_next_open_week(team: Team) -> None:
    people.set_rotations(team.tx, 1, team.ids["Rosa"], ["AM"])
    team.plan()
    late = {rotation for day, rotation in team.days_of("Rosa") if day >= MONDAY + timedelta(days=14)}
    assert "PM" not in late
