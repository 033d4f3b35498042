"""The roster file: every shape it may have, every line that is wrong named, and nothing that can hang us (S1.3)."""

import time

import pytest

from handlers.people.roster import FORMATS, LONGEST, BadRoster, Entry, read, write

ADA, BOB = "ada@example.com", "bob@example.com"


def complaints(text: str, form: str) -> list[str]:
    with pytest.raises(BadRoster) as bad:
        read(text, form)
    return bad.value.complaints


# -- what is accepted --

CSV_SHAPES = {
    "as documented": "email,name,rotations\nada@example.com,Ada B,AM;Core\nbob@example.com,,PM\n",
    "without names": "email,rotations\nada@example.com,AM;Core\nbob@example.com,PM\n",
    "spaces between rotations": "email,rotations\nada@example.com,AM Core\nbob@example.com,PM\n",
    "commas in quotes": 'email,rotations\nada@example.com,"AM, Core"\nbob@example.com,PM\n',
    "any case and order": "Rotations,EMAIL\nam;CORE,Ada@Example.COM\npm,BOB@example.com\n",
    "spaces around everything": "email , rotations\n ada@example.com , AM;Core\nbob@example.com, PM \n",
    "a byte order mark": "\ufeffemail,rotations\nada@example.com,AM;Core\nbob@example.com,PM\n",
    "DOS line ends": "email,rotations\r\nada@example.com,AM;Core\r\nbob@example.com,PM\r\n",
    "blank lines": "email,rotations\n\nada@example.com,AM;Core\n , \n\nbob@example.com,PM",
    "other columns": "team,email,rotations,floor\nx,ada@example.com,AM;Core,3\ny,bob@example.com,PM,\n",
    "one line a rotation": "email,rotations\nada@example.com,AM\nbob@example.com,PM\nADA@example.com,Core\n",
}
YAML_SHAPES = {
    "address: rotations": "ada@example.com: [AM, Core]\nbob@example.com: PM\n",
    "address: rotations in a text": "ada@example.com: AM, Core\nbob@example.com: pm\n",
    "an address twice": "ada@example.com: AM\nbob@example.com: PM\nada@example.com: Core\n",
    "rotation: addresses": "AM:\n- ada@example.com\nCore: [Ada@Example.com]\nPM: bob@example.com\n",
    "a rotation twice": "AM: ada@example.com\nCore: []\nPM: bob@example.com\nCORE: ada@example.com\n",
    "a list": "- {email: ada@example.com, rotations: [AM, Core]}\n- email: bob@example.com\n  rotations: PM\n",
    "other keys": "- {email: ada@example.com, rotations: AM Core, floor: 3}\n- {email: bob@example.com, rotations: PM}",
}


@pytest.mark.parametrize("shape", CSV_SHAPES)
def test_each_shape_of_csv_is_read(shape: str) -> None:
    found = read(CSV_SHAPES[shape], "csv")
    assert [(one.email, one.rotations) for one in found] == [(ADA, ("AM", "Core")), (BOB, ("PM",))]


@pytest.mark.parametrize("shape", YAML_SHAPES)
def test_each_shape_of_yaml_is_read(shape: str) -> None:
    assert read(YAML_SHAPES[shape], "yaml") == [Entry(ADA, ("AM", "Core")), Entry(BOB, ("PM",))]


def test_names_are_kept_where_the_file_gives_them() -> None:
    text = "email,name,rotations\nada@example.com,  Ada   Byron ,AM\nbob@example.com,,PM\nada@example.com,Other,PM\n"
    assert read(text, "csv") == [Entry(ADA, ("AM", "PM"), "Ada Byron"), Entry(BOB, ("PM",))]


@pytest.mark.parametrize("name", ["No", "1985", "Null Island", "ليلى", "حداد\u200cنور", "Zoë"])
def test_a_name_is_text_whatever_yaml_makes_of_it(name: str) -> None:
    assert read(f"- {{email: {ADA}, rotations: AM, name: {name}}}", "yaml") == [Entry(ADA, ("AM",), name)]


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_written_reads_the_same(form: str) -> None:
    entries = [
        Entry(ADA, ("AM", "Core", "PM"), 'Ada "the, first" Byron'),
        Entry(BOB, ("PM",)),
        Entry("no@example.com", ("Core",), "No"),
        Entry("zoë@example.com", ("AM",), "=Zoë: #1\u3000ł"),
    ]
    normal = [entries[0], entries[1], entries[2], Entry("zoë@example.com", ("AM",), "=Zoë: #1 ł")]
    assert read(write(reversed(entries), form), form) == normal
    assert write(read(write(entries, form), form), form) == write(normal, form)


# -- what is refused, line by line --


def test_every_bad_line_of_a_csv_is_named() -> None:
    text = (
        "email,name,rotations\n"
        "ada@example.com,Ada,AM\n"
        "bob,,AM\n"
        "\n"
        "cy@example.com,,Night;PM;Noon\n"
        "dee@example.com,,\n"
        "eve@example.com,Eve,AM,PM\n"
        "fay@example.com\n"
        ",Gus,Core\n"
        "hal@example.com,H\x1bal,AM\n"
    )
    assert complaints(text, "csv") == [
        "line 3: 'bob' is not an e-mail address",
        "line 5: 'Night' is no rotation; write AM, Core, PM",
        "line 5: 'Noon' is no rotation; write AM, Core, PM",
        "line 6: no rotation is given; write AM, Core, PM",
        "line 7: more columns than the header has; separate rotations by ; or spaces",
        "line 8: no rotation is given; write AM, Core, PM",
        "line 9: '' is not an e-mail address",
        "line 10: the name must be text, without control characters",
    ]


def test_every_bad_entry_of_a_yaml_list_is_named() -> None:
    text = (
        "- {email: ada@example.com, rotations: [AM]}\n"
        "- email: bob\n"
        "  rotations: [AM]\n"
        "- ada@example.com\n"
        "- {email: [cy@example.com], rotations: AM}\n"
        "- {email: dee@example.com, rotations: {AM: yes}}\n"
        "- {email: eve@example.com, rotations: [AM, [PM]], name: [Eve]}\n"
        "- {rotations: AM}\n"
        '- {email: "f\\uD800@example.com", rotations: AM}\n'
    )
    assert complaints(text, "yaml") == [
        "line 2: 'bob' is not an e-mail address",
        "line 4: write email, name and rotations",
        "line 5: \"['cy@example.com']\" is not an e-mail address",
        "line 6: no rotation is given; write AM, Core, PM",
        "line 7: '{}' is no rotation; write AM, Core, PM",
        "line 7: the name must be text, without control characters",
        "line 8: nothing is not an e-mail address",
        "line 9: 'f\\ud800@example.com' is not an e-mail address",
    ]


def test_every_bad_entry_of_a_yaml_mapping_is_named() -> None:
    text = (
        "AM:\n- ada@example.com\n- bob\nNight: [cy@example.com]\ndee@example.com:\nPM:\n? [a, b]\n: eve@example.com\n"
    )
    assert complaints(text, "yaml") == [
        "line 3: 'bob' is not an e-mail address",
        "line 4: 'Night' is no rotation; write AM, Core, PM",
        "line 5: no rotation is given; write AM, Core, PM",
        "line 6: nothing is not an e-mail address",
        "line 8: \"['a', 'b']\" is no rotation; write AM, Core, PM",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "email;name;rotations\na;b;c\n",
        "ada@example.com,AM\n",
        "email,name\na,b\n",
        "email,rotations,Email\na,b,c\n",
    ],
)
def test_a_csv_without_its_header_is_refused(text: str) -> None:
    assert complaints(text, "csv") == ["line 1: the header must be email,name,rotations (name may be left out)"]


NOBODY = [("email,rotations\n", "csv"), *((text, "yaml") for text in ("", "# nobody\n", "[]", "{}", "AM: []"))]


@pytest.mark.parametrize(("text", "form"), NOBODY)
def test_a_file_that_names_nobody_is_refused(text: str, form: str) -> None:
    assert complaints(text, form) == ["the file names nobody"]


@pytest.mark.parametrize(
    ("text", "form", "said"),
    [
        (
            'email,rotations\nada@example.com,"AM\nbob@example.com,PM\n',
            "csv",
            "line 3: this is not CSV: unexpected",
        ),
        (f"email,rotations\n{'a' * 200_000}@example.com,AM\n", "csv", "line 2: this is not CSV: field larger"),
        ("AM: [ada@example.com\n", "yaml", "line 2: this is not YAML"),
        ("AM: ada@example.com\n---\nPM: bob@example.com\n", "yaml", "line 2: this is not YAML"),
        ("!!python/object:os.system {}\n", "yaml", "the file names nobody"),
        ("AM: \x07", "yaml", "this is not YAML"),
        ("ada@example.com AM", "yaml", "write `address: rotation`"),
        ("[" * 500_000, "yaml", "nested too deep"),
        ("{a: " * 200_000, "yaml", "nested too deep"),
        ("a" * (LONGEST + 1), "yaml", "longer than 1,000,000 characters"),
        ("a" * (LONGEST + 1), "csv", "longer than 1,000,000 characters"),
    ],
    ids=lambda value: value[:20],
)
def test_what_cannot_be_read_is_said_in_a_sentence(text: str, form: str, said: str) -> None:
    assert said in "\n".join(complaints(text, form))


@pytest.mark.parametrize("form", FORMATS)
def test_what_was_bad_before_the_file_broke_off_is_named_too(form: str) -> None:
    text = {"csv": 'email,rotations\nbob,AM\nada@example.com,"AM', "yaml": "AM: bob\nPM: ada@example.com"}[form]
    assert "'bob' is not an e-mail address" in complaints(text, form)[0]


def test_a_billion_laughs_is_refused_at_once() -> None:
    laughs = ["a0: &a0 [ada@example.com]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    began = time.monotonic()
    assert complaints("\n".join(laughs), "yaml") == ["line 2: aliases (*) are not taken: write it out"]
    assert time.monotonic() - began < 1.0
