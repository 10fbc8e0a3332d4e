"""Notes: what a person or Obsidian writes is read as typed; what could deceive is refused."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nightdesk.errors import NoteError
from nightdesk.vault.layout import MAX_NOTE_BYTES
from nightdesk.vault.notes import KEY_ORDER, Note, Value, parse_note, render_note
from nightdesk.vault.properties import MAX_PROPERTIES_BYTES

PATH = "Needs_Action/email/x.md"


def properties(text: str) -> dict[str, Value]:
    return dict(parse_note(f"---\n{text}\n---\nbody\n".encode(), PATH).properties)


def refused(data: bytes) -> NoteError:
    with pytest.raises(NoteError) as caught:
        parse_note(data, PATH)
    assert caught.value.where == PATH
    assert caught.value.remedy
    return caught.value


# --- scalars stay what was typed ------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        "No", "yes", "on", "true", "False", "12:30", "1_000", "18e91", "0x1F", "010", "1.50", ".5",
        "2026-11-24", "2026-11-24T10:00", "2026-11-24T10:00:00Z", "1e3", ".inf", ".NaN", "=", "<<",
        "Grüße aus Köln", "😀 ok", "50%", "a#b", "-5", "http://example.com/a%20b", "it's",
    ],
)  # fmt: skip
def test_an_unquoted_scalar_keeps_its_text(typed: str) -> None:
    assert properties(f"key: {typed}") == {"key": typed}
    assert properties(f"key: [{typed}]") == {"key": [typed]}
    assert properties(f"key:\n  - {typed}\n  - x") == {"key": [typed, "x"]}


@pytest.mark.parametrize("typed", ["", " ", "~", "null", "Null", "NULL", " # only a comment"])
def test_an_empty_value_is_an_empty_text(typed: str) -> None:
    assert properties(f"key: {typed}\nnext: x") == {"key": "", "next": "x"}


@pytest.mark.parametrize("word", ["null", "~", "No", "12:30", "2026-11-24"])
def test_a_quoted_word_is_a_text(word: str) -> None:
    assert properties(f'key: "{word}"') == {"key": word}
    assert properties(f"key: '{word}'") == {"key": word}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("aliases:\n  - Ada\n  - Grace", {"aliases": ["Ada", "Grace"]}),
        ("aliases:\n- Ada\n- Grace", {"aliases": ["Ada", "Grace"]}),
        ("aliases: [Ada, 'Grace H']", {"aliases": ["Ada", "Grace H"]}),
        ("tags:\n  - urgent\n  - ", {"tags": ["urgent", ""]}),
        ("tags: []", {"tags": []}),
        ("tags:", {"tags": ""}),
        ("done: true", {"done": "true"}),
        ("count: 3", {"count": "3"}),
        ("due: 2026-11-24", {"due": "2026-11-24"}),
        ("due: 2026-11-24T09:15:00", {"due": "2026-11-24T09:15:00"}),
        ("title: Müller & Söhne", {"title": "Müller & Söhne"}),
        ('title: "Re: Rechnung"', {"title": "Re: Rechnung"}),
        ("title: 'it''s'", {"title": "it's"}),
        ('related: "[[Some note]]"', {"related": "[[Some note]]"}),
        ('related:\n  - "[[a]]"\n  - "[[b|c]]"', {"related": ["[[a]]", "[[b|c]]"]}),
        ("feedback: |-\n  one\n  two", {"feedback": "one\ntwo"}),
        ("feedback: >-\n  one\n  two", {"feedback": "one two"}),
        ('long: "one\n  two"', {"long": "one two"}),
        ('long: "one \\\n  two"', {"long": "one two"}),
        ("long: one\n  two", {"long": "one two"}),
        ('emoji: "\\ud83d\\ude00"', {"emoji": "😀"}),
        ("Quoted key with spaces: x", {"Quoted key with spaces": "x"}),
        ("ключ: значение", {"ключ": "значение"}),
        ("# a comment\nkey: x", {"key": "x"}),
        ('{"key": "x", "list": ["a", "b"]}', {"key": "x", "list": ["a", "b"]}),
        ("", {}),
        ("\n\n", {}),
        ("# only a comment", {}),
    ],
)
def test_what_obsidian_writes_is_read(written: str, expected: dict[str, Value]) -> None:
    assert properties(written) == expected


@pytest.mark.parametrize("character", ["\u0085", "\u2028", "\u2029", "\x7f", "\u0090", "\ufffe"])
def test_a_line_separator_inside_a_value_starts_no_new_property(character: str) -> None:
    # YAML 1.1 ends a line at some of these; Obsidian does not, and shows one value.
    found = properties(f"subject: a{character}to: evil@example.com".replace("to: ", "to:"))
    assert found == {"subject": f"a{character}to:evil@example.com"}
    assert properties(f'subject: "a{character}b"') == {"subject": f"a{character}b"}
    private = "\U000f0000"
    both = properties(f'subject: "a{character}{private}\\U000F0001"')
    assert both == {"subject": f"a{character}{private}\U000f0001"}


# --- what is refused, with file, line and remedy -----------------------------------------------


@pytest.mark.parametrize(
    ("block", "line", "what"),
    [
        ("a: 1\nb: 2\na: 3", 4, "stands twice"),
        ('a: 1\n"a": 3', 3, "stands twice"),
        ("a: &x 1", 2, "anchors"),
        ("a: 1\nb: *x", 3, "anchors"),
        ("a: !!str 1", 2, "tags"),
        ("a: !python/object/apply:os.system [x]", 2, "tags"),
        ("a:\n  b: c", 3, "nested"),
        ("a: {b: c}", 2, "nested"),
        ("a:\n  - b: c", 3, "nested"),
        ("a:\n  - [b]", 3, "nested"),
        ("a: [[b]]", 2, "nested"),
        ("- a\n- b", 2, "nested"),
        ("? [a]\n: b", 2, "nested"),
        ("just words", 2, "`key: value`"),
        ("a: b\n--- c", 3, "one block"),
        ("a: b\n...\nc: d", 4, "not valid YAML"),
        ("a: 1\nsubject: Re: hello", 3, "not valid YAML"),
        ("a: 1\nsubject: @ada", 3, "not valid YAML"),
        ("a: 1\nsubject: *bold*", 3, "not valid YAML"),
        ("a: 1\n\tb: 2", 3, "not valid YAML"),
        ("a: 1\nb: [x", 4, "not valid YAML"),
        ('a: 1\nb: "x', 4, "not valid YAML"),
        ("a: 1\nb: x\x07", 3, "control character (U+0007)"),
        ('a: 1\nb: "\\Uffffffff"', 3, "no character"),
        ('a: 1\nb: "\\ud83d"', 0, "half a character"),
    ],
)
def test_broken_properties_are_refused_with_their_line(block: str, line: int, what: str) -> None:
    error = refused(f"---\n{block}\n---\nbody".encode())
    assert (error.line, what in error.what) == (line, True), error
    assert error.remedy
    if line:
        assert f"{PATH}, line {line}: " in str(error)


@pytest.mark.parametrize(
    ("block", "remedy"),
    [
        ("subject: Re: hello", "double quotes"),
        ("subject: @ada", "double quotes"),
        ("subject: !important", "double quotes"),
        ("related: [[note]]", '"[[note]]"'),
        ("\ta: b", "tabs"),
        ("a: 1\na: 2", "one of the two"),
    ],
)
def test_the_remedy_fits_the_mistake(block: str, remedy: str) -> None:
    assert remedy in refused(f"---\n{block}\n---\n".encode()).remedy


def test_an_unclosed_block_is_refused() -> None:
    assert refused(b"---\na: b\n\nbody\n").line == 1
    assert refused(b"---\na: b\n ---\n").line == 1
    assert refused(b"---\na: b\n----\n").line == 1


def test_a_note_that_is_not_utf8_is_refused_with_its_line() -> None:
    error = refused("---\na: b\n---\nGrüße\n".encode("latin-1"))
    assert error.line == 4
    assert "UTF-8" in error.what
    assert refused("plain\nGrüße".encode("latin-1")).line == 2
    assert refused(b"\xff\xfea\x00").line == 1  # UTF-16


def test_size_is_limited() -> None:
    parse_note(b"x" * MAX_NOTE_BYTES, PATH)
    assert "257 KiB" in refused(b"x" * (MAX_NOTE_BYTES + 1)).what
    long = b"---\na: " + b"x" * MAX_PROPERTIES_BYTES + b"\n---\n"
    assert "longer than" in refused(long).what


@pytest.mark.parametrize(
    "block",
    [
        "a: " + "[" * 3000,
        "[" * 3000,
        "[" * 90_000,
        "a: " + "{" * 3000,
        "{a: " * 3000,
        "a:\n" + "- " * 3000,
        "? " * 3000,
        "a: " + "!" * 90_000,
        ":" * 90_000,
        "a: [" + "," * 90_000,
        "\n".join(f"k{n}: v" for n in range(9000)),
        "a: &a [x]\n" + "\n".join(f"b{n}: [*a, *a, *a]" for n in range(20)),
        "x: " + "y" * 200_000,
        "\n" * 200_000,
        "# c\n" * 60_000,
    ],
    ids=lambda block: f"{block[:12]!r}x{len(block)}",
)
def test_bombs_are_refused_at_once(block: str) -> None:
    data = f"---\n{block}\n---\n".encode()
    times = []
    for _ in range(3):
        start = time.process_time()
        refused(data)
        times.append(time.process_time() - start)
    # Hundreds of ms before the limits stood in the way; the machine may be busy.
    assert min(times) < 0.1


# --- the body is nobody's business --------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no final newline",
        b"crlf\r\nlines\r\n",
        b"mixed\nends\r\nand\rmore",
        b"---\nnot: properties\n---\n",
        b"text\n\n---\n\nmore\n",
        b"\n\n\nblank lines first",
        b"trailing spaces   \n\t\n",
        "﻿bom in the body, Grüße 😀".encode(),
    ],
)
@pytest.mark.parametrize("top", [b"---\na: b\n---\n", b"---\r\na: b\r\n---\r\n", b"---\n---\n"])
def test_the_body_is_untouched(top: bytes, body: bytes) -> None:
    assert parse_note(top + body, PATH).body == body


def test_no_properties_means_the_whole_file_is_the_body() -> None:
    for data in (
        b"",
        b"Please call Ada",
        b"# Title\n\n---\n",
        b" ---\na: b\n---\n",
        b"---",
        b"----\n",
    ):
        note = parse_note(data, PATH)
        assert (note.has_properties, note.body, dict(note.properties)) == (False, data, {})
    assert parse_note("﻿Hello".encode(), PATH).text == "Hello"


def test_byte_order_mark_and_crlf_before_the_properties() -> None:
    note = parse_note("﻿---\r\na: b\r\nl:\r\n  - x\r\n---\r\nbody\r\n".encode(), PATH)
    assert note.properties == {"a": "b", "l": ["x"]}
    assert note.body == b"body\r\n"


def test_the_closing_line_may_end_the_file_and_have_spaces() -> None:
    assert parse_note(b"--- \na: b\n---", PATH) == Note({"a": "b"}, b"", has_properties=True)
    assert parse_note(b"---\na: b\n---  \nx", PATH).body == b"x"


def test_get_joins_lists() -> None:
    note = Note({"to": ["a", "b"], "subject": "x"})
    assert (note.get("to"), note.get("subject"), note.get("none")) == ("a, b", "x", "")


# --- writing --------------------------------------------------------------------------------


def test_writing_is_fixed_in_order_and_style() -> None:
    data = render_note({"zeta": "1", "to": ["a@b", "c@d"], "id": "x", "gone": None, "cc": []}, b"B")
    expected = '---\nid: "x"\nto:\n  - "a@b"\n  - "c@d"\ncc: []\nzeta: "1"\n---\nB'
    assert data.decode() == expected
    assert len(set(KEY_ORDER)) == len(KEY_ORDER)


def test_written_text_is_readable_and_cannot_reorder_a_line() -> None:
    data = render_note({"subject": "Grüße 😀 – „ok“\u202eevil\u2028\n"}, b"").decode()
    assert 'subject: "Grüße 😀 – „ok“\\u202eevil\\u2028\\n"' in data


def test_what_could_not_be_read_again_is_not_written() -> None:
    for properties, body in (
        ({"a": "x" * MAX_PROPERTIES_BYTES}, b""),
        ({"a": "x"}, b"x" * MAX_NOTE_BYTES),
        ({"k" * 2000: "x"}, b""),
    ):
        with pytest.raises(NoteError):
            render_note(properties, body)


def test_half_characters_are_replaced_when_written() -> None:
    # They come from undecodable mail headers and file names; no file can hold them.
    data = render_note({"a": "x\udcffy", "b": ["\ud83d\ude00"]}, b"")
    assert parse_note(data).properties == {"a": "x\ufffdy", "b": ["😀"]}


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    ["", " ", "null", "~", "No", "12:30", "1_000", "---", "...", "- x", "# x", "a: b", "[[x]]",
     "\u0085", "\u2028", "\ufeff", "\x7f", "\x00", "😀", " x ", "\t", "\r\n", "\\", '"', "'",
     "\U0010ffff", "\U000f0000", "\ufdd0", "%% end of draft %%"]
)  # fmt: skip
KEY = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(KEY_ORDER)
PROPERTIES = st.dictionaries(KEY, TEXT | st.lists(TEXT, max_size=5), max_size=8)


@settings(deadline=None, max_examples=300)
@given(PROPERTIES, st.binary(max_size=80) | TEXT.map(str.encode))
@example({"": "x", "null": "", "<<": ["~"]}, b"---\n")
def test_what_is_written_is_read_back(found: dict[str, Value], body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError:
        body = b""
    data = render_note(found, body)
    note = parse_note(data, PATH)
    assert dict(note.properties) == found
    assert note.body == body
    crlf = data[: len(data) - len(body)].replace(b"\n", b"\r\n") + body
    assert parse_note(crlf, PATH) == note


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(KEY, st.text(max_size=20), max_size=3), st.binary(max_size=20))
def test_any_text_at_all_can_be_written(found: dict[str, str], body: bytes) -> None:
    render_note({k: v for k, v in found.items() if k.isascii()}, body).decode("utf-8", "replace")


YAMLISH = st.text(
    st.sampled_from(list("ab:-[]{}\"'#&*!|>?%@`,~\\ \n\n\t\r\x00\x85\u2028\ufeffüU8fd.=")),
    max_size=60,
)


@settings(deadline=None, max_examples=600)
@given(st.binary(max_size=200) | YAMLISH.map(lambda t: f"---\n{t}\n---\nb".encode()))
def test_anything_is_read_or_refused_as_a_note_error(data: bytes) -> None:
    try:
        note = parse_note(data, PATH)
    except NoteError as error:
        str(error).encode()
        return
    for value in note.properties.values():
        assert isinstance(value, str) or all(isinstance(item, str) for item in value)
    assert data.endswith(note.body)
    note.text.encode()
    # What was read can be written, and then says the same.
    assert parse_note(render_note(note.properties, note.body)).properties == note.properties
