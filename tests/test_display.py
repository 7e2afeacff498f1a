"""What the other side wrote reaches the screen harmless and whole, whatever it is."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openline import display, dtg
from openline.errors import LocalError
from openline.i18n import catalogue

DAY_S = 86_400
NOW_S = 1_795_377_254  # 2026-11-22T19:54:14Z


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x07", "⟨U+001B⟩[2J⟨U+0007⟩"),
        ("abc\u202edef", "abc⟨U+202E⟩def"),
        ("pay\u200bpal", "pay⟨U+200B⟩pal"),
        ("\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩"),
        ("\u00adsoft", "⟨U+00AD⟩soft"),
        ("\ufeffbom", "⟨U+FEFF⟩bom"),
        ("tag\U000e0041", "tag⟨U+E0041⟩"),
        ("v\ufe0f", "v⟨U+FE0F⟩"),
        ("⟨U+202E⟩", "⟨U+27E8⟩U+202E⟩"),
        ("a\rb", "a⟨U+000D⟩b"),
        ("one\ntwo", "one⟨U+000A⟩two"),
        ("\ud800", "⟨U+D800⟩"),
        ("line\u2028sep", "line⟨U+2028⟩sep"),
        ("\ue000", "⟨U+E000⟩"),
        ("\u2800", "⟨U+2800⟩"),
        ("e" + "\u0301" * 6, "e" + "\u0301" * 4 + "⟨U+0301⟩" * 2),
    ],
)
def test_what_controls_turns_or_hides_is_shown_as_an_escape(hostile: str, shown: str) -> None:
    assert display.safe(hostile) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Le président « est » prêt\u202f!",
        "Уважаемый господин Президент, ёж и йод",
        "می\u200cخواهم",
        "क्\u200dष",
        "中文 日本語 한국어",
        "שלום",
    ],
)
def test_letters_of_every_script_stay(text: str) -> None:
    assert display.safe(text) == text


def test_a_joiner_outside_its_scripts_is_shown() -> None:
    assert display.safe("ab\u200dcd") == "ab⟨U+200D⟩cd"


def test_lines_are_kept_where_lines_are_wanted() -> None:
    assert display.safe("one\r\ntwo\n", lines=True) == "one\ntwo\n"


@given(st.text(), st.booleans())
def test_nothing_shown_controls_or_hides(text: str, lines: bool) -> None:
    shown = display.safe(text, lines=lines)
    for letter in shown.replace("\n", "") if lines else shown:
        category = unicodedata.category(letter)
        assert category[0] != "C" or letter in "\u200c\u200d"
        assert category not in ("Zl", "Zp")


@given(st.text(max_size=300), st.integers(8, 100))
def test_no_line_is_wider_than_the_paper(text: str, cells_max: int) -> None:
    lines = display.wrap(text, cells_max)
    assert all(display.cells(line) <= cells_max for line in lines)
    assert display.cells(display.brief(text, cells_max)) <= cells_max


def test_wrapping_breaks_after_spaces_and_long_words_where_they_must() -> None:
    assert display.wrap("aaa bbb cccccccccc\n\n  d", 7) == ["aaa bbb", "ccccccc", "ccc", "", "  d"]


@pytest.mark.parametrize("text", [" ", "\x01", "a", "\u302e ", "a "])
def test_a_long_text_is_wrapped_in_the_time_its_letters_take(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def width(letter: str) -> int:
        measured.append(letter)
        return 1

    monkeypatch.setattr(display, "_width", width)
    long = text * 2_000
    display.wrap(long, 80)
    assert len(measured) <= 4 * len(display.safe(long))


def test_wide_letters_take_two_columns() -> None:
    assert display.cells("中a\u0301") == 3
    assert display.brief("中文字", 5) == "中文…"


def test_an_impossible_time_is_doubted() -> None:
    assert display.doubts(NOW_S, NOW_S, NOW_S + DAY_S, NOW_S + 5) == []
    assert display.doubts(NOW_S - 20 * DAY_S, NOW_S - 20 * DAY_S, None, NOW_S) == []
    assert display.doubts(NOW_S + DAY_S, NOW_S + DAY_S, None, NOW_S) == ["filed"]
    assert display.doubts(NOW_S - 99 * DAY_S, NOW_S, None, NOW_S) == ["filed"]
    assert display.doubts(NOW_S, NOW_S - 3000 * DAY_S, NOW_S + 400 * DAY_S, NOW_S) == ["dtg", "due"]


def test_languages_are_named_or_said_to_be_unknown() -> None:
    words = catalogue("fr")
    assert display.language("ru", words) == "russe"
    assert display.language("", words) == "non indiquée"
    assert "xq" in display.language("xq", words)


def test_every_precedence_has_its_own_shape_and_word() -> None:
    names = ("FLASH", "IMMEDIATE", "PRIORITY", "ROUTINE")
    shown = [display.precedence(name, catalogue("ru")) for name in names]
    assert len({text.split(" ")[0] for text in shown}) == 4
    assert shown[0] == "▲▲ МОЛНИЯ"


@pytest.mark.parametrize(
    ("said", "iso"),
    [
        ("221954ZNOV26", "2026-11-22T19:54:00Z"),
        ("221954Znov", "2026-11-22T19:54:00Z"),
        ("010000ZJAN", "2027-01-01T00:00:00Z"),
        ("221954ANOV26", "2026-11-22T18:54:00Z"),
        ("221954RNOV26", "2026-11-23T00:54:00Z"),
        ("290000ZFEB", "2028-02-29T00:00:00Z"),
        ("051247ZJUN67", "2067-06-05T12:47:00Z"),
        ("2026-11-22T19:54Z", "2026-11-22T19:54:00Z"),
        ("2026-11-22T21:54+02:00", "2026-11-22T19:54:00Z"),
        ("+2h", "2026-11-22T21:54:14Z"),
        ("+30m", "2026-11-22T20:24:14Z"),
        ("+1d", "2026-11-23T19:54:14Z"),
    ],
)
def test_times_are_read_as_duty_officers_write_them(said: str, iso: str) -> None:
    if said == "290000ZFEB":  # only 2028 has that day among the three years tried from 2027
        assert dtg.iso(dtg.parse(said, NOW_S + 365 * DAY_S)) == iso
    else:
        assert dtg.iso(dtg.parse(said, NOW_S)) == iso


@pytest.mark.parametrize("said", ["", "soon", "321954ZNOV26", "221954JNOV26", "310000ZFEB", "+2y"])
def test_a_time_that_cannot_be_read_is_refused(said: str) -> None:
    with pytest.raises(LocalError) as refused:
        dtg.parse(said, NOW_S)
    assert refused.value.code == "time.unreadable"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(LocalError) as refused:
        dtg.parse("2026-11-22T19:54", NOW_S)
    assert refused.value.code == "time.no_zone"


@given(st.integers(0, 4_102_444_800))
def test_a_group_written_is_read_again(at_s: int) -> None:
    assert dtg.parse(dtg.group(at_s), at_s) == at_s // 60 * 60


def test_a_time_off_the_calendar_is_shown_as_a_number() -> None:
    assert dtg.group(1 << 60) == dtg.iso(1 << 60) == f"({1 << 60})"


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (9_999, "9999 B"), (300_000, "300 kB"), (16 << 20, "17 MB")],
)
def test_a_length_is_said_in_the_unit_that_fits(count: int, said: str) -> None:
    assert display.size(count, catalogue("en")) == said
