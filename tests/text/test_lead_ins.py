from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.text.lead_ins import LeadIns, lead_ins, say
from qa.text.sentences import sentences

LEAD_INS = {
    "a list": ("The crew of 2026 is:\n- Ada\n- Ines", "- Ines", ["The crew of 2026 is"]),
    "a list after a blank line": ("The crew of 2026 is:\n\n• Ada\n• Ines", "• Ines", ["The crew of 2026 is"]),
    "a bare line": ("Northside branch\n• Monday 9-17\n• Sunday closed", "• Sunday", ["Northside branch"]),
    "the last sentence of a paragraph": ("We sail. The crew is:\n- Ada\n- Ines", "- Ines", ["The crew is"]),
    "numbered steps": ("To start the pump:\n1. Open it. Wait.\n2. Press", "Wait.", ["To start the pump"]),
    "nested items": ("Fees:\n- Adults\n  - summer 5\n  - winter 3\n- Dogs", "- winter", ["Fees", "Adults"]),
    "back from nested items": ("Fees:\n- Adults\n  - summer 5\n- Dogs", "- Dogs", ["Fees"]),
    "what goes on with an item": ("Fees:\n- Adults.\n\n  They pay 5.\n- Dogs", "They pay", ["Fees"]),
    "lines under a colon": ("Opening times:\nMonday 9-17\nSunday closed", "Sunday", ["Opening times"]),
    "rows": ("Prices of 2026\n\nPlan: Pro | Month: $5\nPlan: Team | Month: $9", "Plan: Team", ["Prices of 2026"]),
    "rows under names": ("Plan | Month\nPro | $5\nTeam | $9", "Team", ["Plan | Month"]),
    "a group of rows": ("Adult | 5\nHigh season\nAdult | 9\nChild | 4", "Child", ["High season"]),
    "an answer": ("Q: When does it leave?\nA: At nine. It is often late.", "It is", ["Q: When does it leave?"]),
    "an answer's list": ("Q: Who sails?\nA: These:\n- Ada\n- Ines", "- Ines", ["Q: Who sails?", "A: These"]),
    "the next question": ("Q: When?\nA: At nine.\n\nQ: Where?\nA: Here.", "A: Here", ["Q: Where?"]),
}


@pytest.mark.parametrize("name", LEAD_INS)
def test_what_leads_in(name: str) -> None:
    text, sentence, expected = LEAD_INS[name]
    found = lead_ins(text, text.index(sentence))
    assert [say(text, span) for span in found] == expected


NOTHING = {
    "a paragraph after a list": ("The crew is:\n- Ada\n- Ines\n\nThey sail.", "They"),
    "a finished sentence above a list": ("They sail today.\n- Ada\n- Ines", "- Ines"),
    "lines after a blank line": ("Opening times:\n\nMonday 9-17\nSunday closed", "Sunday"),
    "rows that name their columns": ("Plan | Month\nPlan: Pro | Month: $5\nPlan: Team | Month: $9", "Plan: Team"),
    "an answer without a question": ("A: At nine.", "A:"),
    "another table": ("Prices\n- Ada 5\n\nPro | $5\nTeam | $9", "Team"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_where_nothing_leads_in(name: str) -> None:
    text, sentence = NOTHING[name]
    assert lead_ins(text, text.index(sentence)) == ()


@given(st.text(st.sampled_from("Aa.•1-|: \t\n\nQ")))
def test_lead_ins_come_before_their_sentence_and_do_not_overlap(text: str) -> None:
    following = LeadIns(text)
    for span in sentences(text):
        end = 0
        for lead in following.above(span):
            assert end <= lead.start < lead.end <= span.start
            end = lead.end


def test_a_lead_in_is_looked_for_within_bounds() -> None:
    text = "The crew is:\n" + "- Ada of the Evening Tide\n" * 100_000
    assert lead_ins(text, 100) != ()
    assert lead_ins(text, len(text) - 5) == ()
