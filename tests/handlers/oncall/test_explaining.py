"""Reasons are kept by number: they come back with today's names, and a person who was erased has none in them."""

from sqlalchemy import text

from handlers.oncall import asking, explaining
from handlers.oncall.fairness import balances
from handlers.oncall.model import Exclusion, Member, Reason
from handlers.oncall.situation import gather
from handlers.oncall.standing import differences
from tests.handlers.oncall.team import CONTEXT, Team, at, in_days

AL, ALMA = Member(7, "Al", frozenset({"AM"})), Member(12, "Alma Al", frozenset({"AM"}))
REASON = Reason((), (Exclusion(12, "Alma Al", "Alma Al, who took over: on leave"),), 7, "Al also comes before Alma Al")


def test_names_become_numbers_the_longest_first_and_words_stay_whole() -> None:
    kept = explaining.stored(REASON, [AL, ALMA])
    assert kept["why"] == "<7> also comes before <12>"
    assert kept["excluded"] == [{"person": 12, "why": "<12>, who took over: on leave"}]
    assert "Al" not in str(kept).replace("also", "")
    assert explaining.people_in(kept) == {7, 12}
    assert explaining.read(kept, {7: "Al", 12: "Alma Al"}.__getitem__) == REASON


def test_a_reason_without_members_is_kept_as_it_is() -> None:
    assert explaining.stored(Reason((), (), None, "nobody can"), [])["why"] == "nobody can"


def test_why_names_people_as_they_are_called_now_and_those_who_are_gone_by_number(team: Team) -> None:
    ada = team.ids["Ada"]
    assert "Ada" not in str(team.rows("SELECT reason FROM oncall_schedule"))
    team.tx.execute(text("UPDATE users SET name = 'Ada Byron' WHERE id = :id"), {"id": ada})
    whys = [asking.why(team.tx, CONTEXT, in_days(7 * week), "AM", team.now)[0].reason for week in range(8)]
    assert any("Ada Byron" in str(why) for why in whys)
    team.tx.execute(text("DELETE FROM users WHERE id = :id"), {"id": ada})
    whys = [asking.why(team.tx, CONTEXT, in_days(7 * week), "AM", team.now)[0].reason for week in range(8)]
    assert "Ada" not in str(whys)
    assert any(f"former member {ada}" in str(why) for why in whys)


def test_what_earlier_weeks_add_up_to_is_the_same_as_counting_all_of_them(team: Team) -> None:
    team.now = at(in_days(23))
    s = gather(team.tx, CONTEXT, team.now)
    for _ in range(2):
        found = differences(s, s.shifts())
        whole = balances(s.members(), s.shifts(), s.time_off(), s.rules)
        assert {person: round(hours, 1) for person, hours in found.items()} == {
            person: round(hours, 1) for person, hours in whole.items()
        }
