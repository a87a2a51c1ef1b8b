"""Words as BM25 sees them: in any script, stemmed by language, and each where it stands in the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.text.words import STEMMERS, distinct, is_foreign, passage_terms, read_words, words
from tests.support.texts import SCRIPTS

LATIN = st.characters(codec="latin-1") | st.sampled_from("as1,.0-+#\n _²½ǅªº…‘’ʼ\u024f\u2027")


@pytest.mark.parametrize(
    ("text", "language", "terms"),
    [
        ("The brigades advanced", "en", ["the", "brigad", "advanc"]),
        ("Iraq's leaders", "en", ["iraq", "leader"]),
        ("5,000 and 5.000 and 5000", "en", ["5000", "and", "5000", "and", "5000"]),
        ("3.5 km", "en", ["3.5", "3", "5", "km"]),
        ("3,5 km", "de", ["3.5", "3", "5", "km"]),
        ("clause 12.3", "en", ["claus", "12.3", "12", "3"]),
        ("v2.10.1", "", ["2.10.1", "v2", "10", "1"]),
        ("555-0199", "en", ["5550199", "555", "0199"]),
        ("C++ and C#", "en", ["c++", "c", "and", "c#", "c"]),
        ("notepad++ and F#", "en", ["notepad++", "notepad", "and", "f#", "f"]),
        ("ERR-1042, not ERR 1042", "", ["err1042", "err", "1042", "not", "err", "1042"]),
        ("KT-INS-114-DRE", "", ["ktins114dre", "kt", "ins", "114", "dre"]),
        ("a well-known 3-year plan", "", ["a", "well", "known", "3", "year", "plan"]),
        ("QA_MAX_ERROR", "", ["qamaxerror", "qa", "max", "error"]),
        ("my_file-2.txt and config.yaml", "", "myfile2.txt my file 2 txt and config.yaml config yaml".split()),
        ("at 192.168.0.1, at 9 p.m.", "", ["at", "192.168.0.1", "192", "168", "0", "1", "at", "9", "p", "m"]),
        ("\x1b[31mERROR\x1b[0m disk \x1b[1;32mfull\x1b[m", "", ["error", "disk", "full"]),
        ("\x1b[31m黑豹\x1b[0m", "", ["黑", "黑豹", "豹"]),
        ("twelve hands, one boat", "en", ["12", "hand", "one", "boat"]),
        ("twelve Hände", "de", ["twelv", "hand"]),
        ("mainte-\nnance", "en", ["mainten", "maint", "nanc"]),
        ("mainte\u2010\nnance mainte- \nnance", "", ["maintenance", "mainte", "nance"] * 2),
        ("обслужи-\nвание", "", ["обслуживание", "обслужи", "вание"]),
        ("Krankenhäu-\n  ser", "", ["krankenhauser", "krankenhau", "ser"]),
        ("Mainte-\nNance", "", ["mainte", "nance"]),
        ("zorblatt¹ 5 m²", "", ["zorblatt", "5", "m2"]),
        ("Łódź đak smørrebrød", "", ["lodz", "dak", "smorrebrod"]),
        ("보일러는", "", ["보", "보일", "일", "일러", "러", "러는", "는"]),
        ("den Häusern", "de", ["den", "haus"]),
        ("l’eau d'été", "fr", ["eau", "ete"]),
        ("Сливы растут", "ru", ["слив", "растут"]),
        ("ＡＢＣ ﬁnance", "en", ["abc", "financ"]),
        ("Cafe\u0301", "", ["cafe"]),
        ("Straße STRASSE", "", ["strasse", "strasse"]),
        ("黑豹队", "", ["黑", "黑豹", "豹", "豹队", "队"]),
        ("सत्यमेव जयते", "", ["सतयमेव", "जयते"]),
        ("!!! … ©", "en", []),
    ],
)
def test_terms_of_a_passage(text: str, language: str, terms: list[str]) -> None:
    assert passage_terms(text, language) == terms


def test_a_word_of_a_question_counts_in_any_language_of_the_index() -> None:
    assert distinct(words("running Häuser running", ("en", "de"))) == [("run", "running"), ("hauser", "haus")]


@given(text=st.text() | st.sampled_from(list(SCRIPTS.values())), language=st.sampled_from(["", *STEMMERS]))
def test_every_word_stands_where_it_says(text: str, language: str) -> None:
    begun = 0
    for word in words(text, (language,)):
        assert 0 <= word.span.start < word.span.end <= len(text)
        assert word.span.start >= begun
        assert all(form and not form.isspace() and " " not in form for form in word.forms)
        begun = word.span.start


@given(
    text=st.text() | st.text("a's1,000-.+#\n 黑 é\u00ad’한") | st.text(LATIN) | st.sampled_from(list(SCRIPTS.values())),
    language=st.sampled_from(["", *STEMMERS]),
)
def test_the_terms_of_a_passage_are_those_of_its_words(text: str, language: str) -> None:
    assert passage_terms(text, language) == [form for word in words(text, (language,)) for form in word.forms]


@given(
    text=st.text() | st.text("a's1,000-.+#\n 黑 é\u00ad’한") | st.text(LATIN) | st.sampled_from(list(SCRIPTS.values())),
    languages=st.lists(st.sampled_from(["", *STEMMERS]), max_size=3, unique=True).map(tuple),
)
def test_the_fast_way_reads_the_same_words(text: str, languages: tuple[str, ...]) -> None:
    assert read_words(text, languages) == [word.forms for word in words(text, languages)]


@given(text=st.text(alphabet="abzäöéñçжЖ 1'-"))
def test_letter_case_does_not_matter(text: str) -> None:
    assert passage_terms(text.upper(), "en") == passage_terms(text.lower(), "en")


@pytest.mark.parametrize(
    ("text", "languages", "foreign"),
    [
        ("When was it built?", ["en"], False),
        ("Wann wurde er gebaut?", ["en"], False),
        ("灯塔是什么时候建造的？", ["en"], True),
        ("iPhone 15 发布时间", ["en"], False),
        ("متى بنيت المنارة؟", ["en", "de"], True),
        ("متى بنيت المنارة؟", ["en", "fa"], False),
        ("Когда построен маяк?", ["zh"], True),
        ("灯塔", [], False),
        ("1874?", ["en"], False),
        ("በ1874 ዓ.ም. ተገነባ", ["am"], False),
        ("ਇਹ ਕਦੋਂ ਬਣਾਇਆ ਗਿਆ ਸੀ?", ["pa"], False),
        ("Ол қашан салынды?", ["kk"], False),
        ("Қачон қурилган?", ["uz"], False),
        ("Qachon qurilgan?", ["uz"], False),
        ("װען איז עס געבױט געװאָרן?", ["yi"], False),
        ("አማርኛ", ["en"], True),
    ],
)
def test_letters_of_scripts_that_a_model_was_not_trained_on_are_foreign(
    text: str, languages: list[str], foreign: bool
) -> None:
    assert is_foreign(text, languages) is foreign
