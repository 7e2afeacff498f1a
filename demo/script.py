"""What is said in the demonstration: short texts of our own, by offices, in three languages.

Theory of operation: plain values; when each is said is in conversation.py. Nothing here was ever
sent by anybody. The languages are those of the people who would write, so they do not follow the
language of the interface.
"""

from __future__ import annotations

from typing import NamedTuple


class Said(NamedTuple):
    """A text as its releaser releases it; `language` is ISO 639, `subject` may be empty."""

    precedence: str
    language: str
    subject: str
    body: str


LINE_TEST = Said(
    "ROUTINE",
    "en",
    "Line test",
    "Morning line test, duty officer, Washington. Please open this and say how you read us.",
)

TEST_ANSWER = Said(
    "ROUTINE",
    "ru",
    "Проверка линии",
    "Дежурный офицер, Москва. Читаем вас хорошо, текст принят без пропусков.",
)

WARNING = Said(
    "IMMEDIATE",
    "en",
    "Formal warning",
    "At 0412Z two of your aircraft passed within 300 metres of our patrol over international "
    "waters, transponders off. We regard a repetition as dangerous to both sides. We ask that a "
    "person confirm that this warning was received and understood.",
)

WARNING_ANSWER = Said(
    "IMMEDIATE",
    "ru",
    "О предупреждении",
    "Предупреждение получено, понято и принято к сведению начальником смены. Оно передано "
    "в штаб; ответ по существу последует до указанного срока.",
)

RELAYED = Said(
    "PRIORITY",
    "fr",
    "Transmis à la demande de Paris",
    "Le centre de veille de Paris signale que l'exercice maritime prévu demain est reporté de "
    "douze heures. Aucun tir n'aura lieu avant 1800Z.",
)

WEATHER_ROCKET = Said(
    "FLASH",
    "ru",
    "О пуске",
    "Пуск не боевой. Это метеорологическая ракета, извещение о пуске направлено нами третьего "
    "числа. Траектория не выходит за пределы закрытого района. Дежурный генерал на линии.",
)

ENQUIRY = Said(
    "PRIORITY",
    "ru",
    "Учения в закрытом районе",
    "Просим подтвердить, что учения, о которых Вы известили нас на прошлой неделе, начнутся не "
    "раньше 1800Z, и назвать дежурного по району.",
)

LAUNCH = Said(
    "FLASH",
    "en",
    "Unexplained launch",
    "We see a single launch from your northern test area at this minute and hold no notice of it. "
    "Our forces have not been raised. Tell us at once what it is.",
)

CORRECTION = Said(
    "ROUTINE",
    "en",
    "Correction to the flight list",
    "In the list sent earlier read corridor B for corridor D in lines 40 to 52.",
)

UNDERSTOOD = Said(
    "IMMEDIATE",
    "en",
    "Launch understood",
    "Your message was shown to the principal. The notice was found; it had been filed under the "
    "wrong day on our side. We consider the matter closed.",
)

CLOSING = Said(
    "ROUTINE",
    "fr",
    "Fin d'incident",
    "Incident clos à Washington comme à Moscou. Paris en est informé ; la permanence reprend son "
    "rythme ordinaire.",
)

HOLDING_NOTE = "Принято дежурным. Ответ готовится."
"""What goes with the holding reply to the warning."""

_CORRIDORS = "ABCDEF"


def flight_list(subject: str, rows: int) -> Said:
    """A long text, as lists of notified flights are: about 75 bytes to a row, deflated a dozen."""
    lines = [
        f"{row:04}  tanker and escort, corridor {_CORRIDORS[row % 6]}, level {180 + row % 7 * 20}, "
        f"{row * 7919 % 5400:04}N {row * 104729 % 18000:05}E, "
        f"{row * 7 % 24:02}{row * 13 % 60:02}Z to {(row * 7 + 3) % 24:02}{row * 13 % 60:02}Z"
        for row in range(1, rows + 1)
    ]
    return Said("PRIORITY", "en", subject, "\n".join(lines))


LONG = flight_list("Notified flights of the week", 700)
"""Long enough that a wire can be cut in the middle of it."""

LONG_WAITING = flight_list("Notified flights, second part", 500)._replace(precedence="ROUTINE")
"""Long enough to be seen waiting behind a FLASH."""
