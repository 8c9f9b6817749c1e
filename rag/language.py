"""Which of four languages a short text is in, by a vote of its function words.

The words also serve as stop words of the lexical index: within a small collection a function word
of a rare language would otherwise count as a rare and telling term.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_ENGLISH: Final = """
a about above after again all also am an and any are as at be because been before being below
between both but by can could did do does doing don down during each few for from further had has
have having he her here hers him his how i if in into is it its itself just like may me might more
most must my no nor not of off on once only or other our ours out over own please same shall she
should so some such tell than that the their theirs them then there these they this those through
to too under until up us very was we were what when where whether which while who whom whose why
will with would you your yours
"""

_GERMAN: Final = """
aber alle allem allen aller alles als also am an andere auch auf aus bei beim bin bis bist bitte da
damit dann das dass dazu dein deine dem den denn der des dessen die dies diese diesem diesen dieser
dieses doch dort du durch ein eine einem einen einer eines er es etwas euch euer für gegen gibt hab
habe haben hat hatte hatten hier ihm ihn ihnen ihr ihre ihrem ihren ihrer im in ins ist ja jede
jedem jeden jeder jedes kann kannst kein keine keinem keinen keiner können könnte machen man mein
meine meinem meinen meiner mich mir mit muss müssen nach nicht nichts noch nun nur ob oder ohne sehr
sein seine seinem seinen seiner seit sich sie sind so soll sollen sollte sondern sowie über um und
uns unser unsere unter vom von vor war waren warum was welche welchem welchen welcher welches wenn
wer werde werden wie wieder will wir wird wo wollen worden wurde wurden würde zu zum zur zwischen
"""

_SPANISH: Final = """
a al algo alguna algunas alguno algunos ante antes aquel aquella aunque cada como cómo con contra
cual cuál cuáles cuando cuándo cuánta cuánto cuántos cuántas de del desde donde dónde durante e el
él ella ellas ellos en entre era eres es esa esas ese eso esos esta está están estar estas este esto
estos fue ha haber había hace hacer hacia han hasta hay he la las le les lo los más me mi mis mucho
muy nada ni no nos nosotros nuestra nuestro o os otra otro para pero poco por porque puede pueden
puedo que qué quién quien se sea según ser si sí sido sin sobre son su sus también tan tanto te
tener tengo tiene tienen todo todos tu tú tus un una unas uno unos usted ustedes y ya yo
"""

_FRENCH: Final = """
à afin ai ainsi alors après as au aucun aucune aussi autre aux avant avec avez avoir avons c ça car
ce ceci cela celle celles celui ces cet cette ceux chaque chez ci combien comme comment d dans de
depuis des dois doit dois donc dont du elle elles en encore entre es est et été être eu eux faire
fait faut il ils j je jusqu l la là le les leur leurs lors lui m ma mais me même mes moi moins mon n
ne ni nos notre nous on ont ou où par pas pendant peut peuvent peux plus pour pourquoi puis puisque
qu quand que quel quelle quelles quels qui quoi s sa sans se sera ses si sinon soit son sont sous
suis sur t ta te tes toi ton tous tout toute toutes très tu un une vers vos votre vous y
"""

STOP_WORDS: Final[dict[str, frozenset[str]]] = {
    "en": frozenset(_ENGLISH.split()),
    "de": frozenset(_GERMAN.split()),
    "es": frozenset(_SPANISH.split()),
    "fr": frozenset(_FRENCH.split()),
}

# Letters that decide a text with no or few function words ("Größe?", "¿Garantía?").
_TELLING_LETTERS: Final[dict[str, str]] = {
    "de": "äöüß",
    "es": "ñ¿¡áíóú",
    "fr": "çèêëîïôûœàâ",
}

_WORD = re.compile(r"[^\W\d_]+")
_SAMPLE_LENGTH: Final = 4000


@lru_cache(maxsize=512)
def detect_language(text: str, default: str = "en") -> str:
    """The likeliest of en, de, es, fr; `default` where no word or letter says anything."""
    sample = text[:_SAMPLE_LENGTH].lower()
    words = _WORD.findall(sample)
    votes: dict[str, float] = {
        language: float(sum(word in stop_words for word in words))
        for language, stop_words in STOP_WORDS.items()
    }
    for language, letters in _TELLING_LETTERS.items():
        votes[language] += 0.5 * min(2, sum(letter in sample for letter in letters))
    best = max(votes, key=lambda language: (votes[language], language == default))
    return best if votes[best] > 0 else default
