"""Keys of shifts lead back to the slot, and nothing else does."""

from datetime import date

import pytest

from handlers.oncall.keys import shift_key, slot_of
from handlers.oncall.model import Slot


def test_the_key_of_a_shift_leads_back_to_it() -> None:
    slot = Slot(date(2026, 12, 24), "PM")
    assert shift_key(slot) == "shift:2026-12-24:PM"
    assert slot_of(shift_key(slot)) == slot


@pytest.mark.parametrize("key", ["person:1", "shift:", "shift:2026-12-24", "shift:2026-13-24:PM", "2026-12-24:PM"])
def test_any_other_key_is_no_shift(key: str) -> None:
    assert slot_of(key) is None
