"""`rollcall migrate`: says from where to where, asks before it deletes."""

from pathlib import Path

import pytest

import migrations
from db.database import transaction
from tests.service.cli.conftest import Rollcall, said

NEW = "sqlite:///new.db"


def test_it_makes_the_database_and_says_from_where_to_where(rollcall: Rollcall, folder: Path) -> None:
    ended = rollcall("migrate", DATABASE_URL=NEW)
    assert (ended.exit_code, ended.stdout) == (0, f"base → {migrations.head()}\n")
    with transaction(f"sqlite:///{folder}/new.db") as tx:
        assert migrations.current(tx) == migrations.head()


def test_a_second_run_changes_nothing(rollcall: Rollcall) -> None:
    ended = rollcall("migrate")
    assert ended.exit_code == 0
    assert ended.stdout == f"nothing to do: the database is at {migrations.head()}\n"


def test_json_says_the_same(rollcall: Rollcall) -> None:
    assert said(rollcall("migrate", "--revision", "001", "--json", DATABASE_URL=NEW)) == {"from": None, "to": "001"}


def test_a_revision_short_of_the_newest_leaves_a_note(rollcall: Rollcall) -> None:
    assert f"needs {migrations.head()}" in rollcall("migrate", "--revision", "001", DATABASE_URL=NEW).stderr


def test_going_back_asks_first(rollcall: Rollcall) -> None:
    ended = rollcall("migrate", "--down", answer="n\n")
    assert ended.exit_code == 1
    assert rollcall("people", "list").exit_code == 0


def test_without_anybody_to_ask_nothing_is_deleted(rollcall: Rollcall) -> None:
    assert rollcall("migrate", "--down", answer="").exit_code == 1
    assert rollcall("people", "list").exit_code == 0


def test_going_back_goes_one_revision_back(rollcall: Rollcall) -> None:
    rollcall("migrate", "--revision", "002", DATABASE_URL=NEW)
    assert said(rollcall("migrate", "--down", "--yes", "--json", DATABASE_URL=NEW)) == {"from": "002", "to": "001"}
    behind = rollcall("people", "list", DATABASE_URL=NEW)
    assert behind.exit_code == 3
    assert f"is at 001, not at {migrations.head()}: run `rollcall migrate`" in behind.stderr


def test_going_back_to_the_base_empties_it(rollcall: Rollcall) -> None:
    done = said(rollcall("migrate", "--down", "--revision", "base", "--yes", "--json"))
    assert done == {"from": migrations.head(), "to": None}
    assert said(rollcall("migrate", "--down", "--yes", "--json")) == {"from": None, "to": None}


def test_an_unknown_revision_is_misuse(rollcall: Rollcall) -> None:
    ended = rollcall("migrate", "--revision", "999")
    assert ended.exit_code == 2
    assert "999" in ended.stderr


def test_a_folder_that_is_not_there_is_named(rollcall: Rollcall, folder: Path) -> None:
    ended = rollcall("migrate", DATABASE_URL=f"sqlite:///{folder}/nowhere/x.db")
    assert ended.exit_code == 3
    assert "there is no folder" in ended.stderr


@pytest.mark.parametrize("words", [("people", "list"), ("migrate",), ("migrate", "--down", "--yes")], ids=" ".join)
def test_a_newer_database_is_not_called_unmigrated(
    words: tuple[str, ...], rollcall: Rollcall, database_url: str
) -> None:
    with transaction(database_url) as tx:
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = '999'")
    ended = rollcall(*words)
    assert ended.exit_code == 3
    assert "install the newer one" in ended.stderr
