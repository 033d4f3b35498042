"""The cast of the sandbox: invented people, drawn from a seed, as varied as the people of a real one."""

import random
import string
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Persona:
    """One invented person and the ids platforms know them by; whether one has them is the story's choice.

    `last` is empty for people with one name. `email` is None for accounts that signed up by phone.
    """

    clerk_id: str
    slack_id: str
    notion_id: str
    first: str
    last: str
    handle: str
    email: str | None
    phone: str | None
    title: str
    tz: str
    locale: str
    created_at_ms: int

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}".strip()


@dataclass(frozen=True, slots=True)
class _Culture:
    """Names of one place; `written=latin` adds the spelling for addresses where the script is not Latin."""

    firsts: str
    lasts: str
    zones: tuple[str, ...]
    locale: str


_CULTURES = (
    _Culture(
        "Ada Grace Miles Rowan Harriet Theo Imogen Dexter",
        "Whitfield Okafor-Lane Marsh O'Rourke Pemberton St.Clair",
        ("Europe/London", "America/New_York", "America/Los_Angeles"),
        "en-GB",
    ),
    _Culture("Jürgen Anke Maximilian Käthe", "Weiß Müller-Lüdke Groß Öztürk", ("Europe/Berlin",), "de-DE"),
    _Culture("Zoë François Anaïs Maël", "Lefèvre D'Aubigny Bérubé Noël", ("Europe/Paris",), "fr-FR"),
    _Culture("Søren Åse Bjørn Ingrid", "Ødegård Kjærgaard Lindström", ("Europe/Oslo",), "nb-NO"),
    _Culture("Łukasz Małgorzata Święta Paweł", "Wiśniewski Żółkiewska Gąsior", ("Europe/Warsaw",), "pl-PL"),
    _Culture(
        "Inês João Begoña Íñigo",
        "Conceição Ibáñez Muñoz Araújo",
        ("America/Sao_Paulo", "Europe/Madrid"),
        "pt-BR",
    ),
    _Culture(
        "明里=akari 健太=kenta 美咲=misaki 翔=sho",
        "高橋=takahashi 小林=kobayashi 渡辺=watanabe",
        ("Asia/Tokyo",),
        "ja-JP",
    ),
    _Culture("思远=siyuan 雨桐=yutong 子涵=zihan", "欧阳=ouyang 陈=chen 诸葛=zhuge", ("Asia/Shanghai",), "zh-CN"),
    _Culture("Олена=olena Тиміш=tymish Зоряна=zoriana", "Шевчук=shevchuk Їжак=yizhak", ("Europe/Kyiv",), "uk-UA"),
    _Culture("ليلى=layla يوسف=yusuf نور=nour", "الخطيب=alkhatib حداد=haddad", ("Africa/Cairo",), "ar-EG"),
    _Culture("Aarav Priyanka Devika Rohan", "Venkataraman Iyer Chattopadhyay", ("Asia/Kolkata",), "en-IN"),
    _Culture("Ọláwálé Chiamaka Ṣadé Ìfẹ́", "Adébáyọ̀ Nwachukwu Ògúnlẹ́yẹ", ("Africa/Lagos",), "en-NG"),
    _Culture("Tường Ngọc Đức Thảo", "Nguyễn Đặng Trần", ("Asia/Ho_Chi_Minh",), "vi-VN"),
    _Culture("Sukarjo Wulandari Purnomo", "", ("Asia/Jakarta",), "id-ID"),
)

_TITLES = (
    "Site Reliability Engineer",
    "Senior Backend Engineer",
    "Staff Engineer, Payments",
    "Engineering Manager",
    "Data Engineer",
    "Platform Engineer",
    "Frontend Engineer",
    "Security Engineer",
    "QA Lead",
    "Head of R&D",
)
_FOLDED = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "\u0131": "i", "ß": "ss", "æ": "ae"})


def personas(
    rng: random.Random, count: int, *, now_ms: int, domain: str = "example.com", newest_days: int = 30
) -> list[Persona]:
    """`count` different people who joined between three years and `newest_days` before `now_ms`."""
    taken: set[str] = set()
    return [
        _persona(rng, taken, now_ms - rng.randint(newest_days, 1095) * DAY_MS - rng.randrange(DAY_MS), domain)
        for _ in range(count)
    ]


def _persona(rng: random.Random, taken: set[str], created_at_ms: int, domain: str) -> Persona:
    culture = rng.choice(_CULTURES)
    first, first_latin = _spelling(rng, culture.firsts)
    last, last_latin = _spelling(rng, culture.lasts)
    handle = next(h for h in _handles(first_latin, last_latin) if h not in taken)
    taken.add(handle)
    return Persona(
        clerk_id=clerk_id(rng, "user"),
        slack_id=slack_id(rng, "U"),
        notion_id=notion_id(rng),
        first=first,
        last=last,
        handle=handle,
        email=f"{handle}@{domain}",
        phone=None,
        title=rng.choice(_TITLES),
        tz=rng.choice(culture.zones),
        locale=culture.locale,
        created_at_ms=created_at_ms,
    )


def _spelling(rng: random.Random, names: str) -> tuple[str, str]:
    if not names:
        return "", ""
    written, _, latin = rng.choice(names.split()).partition("=")
    return written.replace("St.", "St. "), latin or _latin(written)


def _latin(name: str) -> str:
    folded = unicodedata.normalize("NFKD", name.lower().translate(_FOLDED))
    return "".join(c for c in folded if c.isascii() and c.isalnum())


def _handles(first: str, last: str) -> Iterator[str]:
    plain = ".".join(part for part in (first, last) if part)
    yield plain
    number = 2
    while True:
        yield f"{plain}{number}"
        number += 1


def clerk_id(rng: random.Random, prefix: str) -> str:
    """An id as Clerk and Svix make them: a prefix and 27 letters or digits, the first the same for years."""
    return f"{prefix}_3" + "".join(rng.choices(string.ascii_letters + string.digits, k=26))


def slack_id(rng: random.Random, prefix: str) -> str:
    """`U0…`, `T0…`, `Ev0…`: a prefix, a zero and nine capitals or digits."""
    return f"{prefix}0" + "".join(rng.choices(string.ascii_uppercase + string.digits, k=9))


def notion_id(rng: random.Random) -> str:
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
