"""Which language a text is in, and the function words of four languages.

The words are stop words of the lexical index: within a small collection a function word of a rare
language would otherwise count as a rare and telling term.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, lru_cache
from typing import Final

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from rag.types import SourceDocument

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

LANGUAGES: Final = tuple(STOP_WORDS)

# Those that a document may be found to be in: the ones with a stemmer, and others that are common.
# Fewer make fewer mistakes, and take less memory.
_DOCUMENT_LANGUAGES: Final = (
    "ar", "bg", "cs", "da", "de", "el", "en", "es", "fi", "fr", "he", "hr", "hu", "it", "ja", "ko",
    "nl", "no", "pl", "pt", "ro", "ru", "sk", "sv", "tr", "uk", "zh",
)  # fmt: skip
_SAMPLE_LENGTH: Final = 4000
# Below this share of the likelihood the text says too little, such as a number or a product's name.
_MIN_CONFIDENCE: Final = 0.5
# With fewer letters a text could be in too many languages: only the four above are considered.
_MIN_LETTERS: Final = 80


@lru_cache(maxsize=512)
def detect_language(text: str, default: str = "en") -> str:
    """The likeliest of en, de, es, fr; `default` where the text says too little.

    The first call loads the model: see `load_detector`.
    """
    found = _rank(text)
    total = sum(found.get(language, 0.0) for language in LANGUAGES)
    best = max(LANGUAGES, key=lambda language: found.get(language, 0.0))
    return best if found and found[best] >= _MIN_CONFIDENCE * total else default


def document_language(text: str) -> str:
    """The likeliest language of a document's text, as an ISO 639-1 code."""
    sample = text[:_SAMPLE_LENGTH]
    if sum(character.isalpha() for character in sample) < _MIN_LETTERS:
        return detect_language(sample)
    found = _rank(sample)
    return max(found, key=lambda language: found[language]) if found else LANGUAGES[0]


def with_language(document: SourceDocument) -> SourceDocument:
    """The document with its language, found out unless it says it: whoever stores a document calls
    this, since its words are stemmed and its function words left out by its language."""
    if document.language:
        return document
    return replace(document, language=document_language(document.content))


def load_detector() -> None:
    """Read the model, which takes most of a second: call it in a thread, before it is needed."""
    _detector()


def _rank(text: str) -> dict[str, float]:
    """The likelihood of each language; empty for a text without letters."""
    sample = text[:_SAMPLE_LENGTH].replace("\0", " ")
    if not any(character.isalpha() for character in sample):
        return {}
    return dict(_detector().rank(sample))


@cache
def _detector() -> LanguageIdentifier:
    """langid's naive Bayes over byte n-grams (Lui and Baldwin 2012), as retrained by py3langid."""
    whole = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    whole.set_languages(_DOCUMENT_LANGUAGES)
    # Without the tables of the other languages, 25 MB.
    return LanguageIdentifier(
        whole.nb_ptc,
        whole.nb_pc,
        whole.nb_classes,
        whole.tk_nextmove,
        whole.tk_output,
        norm_probs=True,
        tk_row=whole.tk_row,
    )
