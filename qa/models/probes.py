"""What a compiled model is compared with its reference on: several lengths and scripts, and what is odd."""

from __future__ import annotations

_PROSE = (
    "The lighthouse was built in 1874 on a reef two miles from the shore, and for ninety years three keepers at a time "
    "lived in it. Their supplies came by boat once a fortnight, when the sea allowed it. In the winter of 1911 no boat "
    "could land for seven weeks; the keepers lived on ship's biscuit and on the fish they caught from the gallery. The "
    "lamp burned colza oil at first, then paraffin, and was lit by electricity only in 1952. Engineers chose granite "
    "because sandstone, which was cheaper, had failed at the older tower within thirty years. Each block weighs about "
    "two tonnes and is dovetailed into its neighbours, so that no wave can move one without moving all of them. "
)

QUESTIONS = (
    "When was the lighthouse built?",
    "what did the keepers eat in winter",
    "Warum wurde Granit verwendet?",
    "灯塔是什么时候建造的？",
    "متى بنيت المنارة؟",
)

PASSAGES = (
    "",
    "Granite.",
    "Error 0x80070005: access denied (C:\\temp\\a_b.log, line 4,711).",
    _PROSE[:130],
    _PROSE[:300],
    _PROSE,
    _PROSE * 3,  # beyond most windows: what is cut is cut in the same place
    "Der Leuchtturm wurde 1874 auf einem Riff errichtet; neunzig Jahre lang lebten jeweils drei Wärter darin.",
    "Маяк был построен в 1874 году на рифе в двух милях от берега, и смотрители жили в нём по трое.",
    "灯塔建于一八七四年，位于离岸两英里的礁石上。九十年来，每次都有三名看守人住在里面。",
    "بنيت المنارة عام 1874 على شعاب مرجانية تبعد ميلين عن الشاطئ، وعاش فيها ثلاثة حراس.",
    "灯台は1874年に岩礁の上に建てられ、三人の灯台守が住んでいた。",
    "def lit(year: int) -> bool:\n    return year >= 1874  # colza, paraffin, then electricity\n",
    "| year | fuel |\n|---|---|\n| 1874 | colza oil |\n| 1903 | paraffin |\n| 1952 | electricity |",
)
