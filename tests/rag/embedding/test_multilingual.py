"""A multilingual model finds what is said in another language."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rag.embedding.backends import load_embedder
from rag.embedding.base import Embedder
from rag.evaluate.__main__ import main
from tests.rag.embedding.multilingual import write_multilingual_model

# A model of 470 MB.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

KB_DOCS = Path(__file__).parents[3] / "kb_docs"
DOCUMENTS = (
    "support/returns", "support/warranty", "support/gift-cards", "support/rental",
    "support/price-match", "handbook/remote-work", "handbook/sick-leave",
    "manuals/descaling-kessel",
)  # fmt: skip
# Questions without a word of the English document that answers them.
QUESTIONS = {
    "¿Cuántos años puedo usar una tarjeta de regalo?": "support/gift-cards",
    "¿Qué día tengo que entregar el justificante médico?": "handbook/sick-leave",
    "¿Puedo alquilar una tienda de campaña?": "support/rental",
    "Wie oft muss ich meine Kaffeemaschine entkalken?": "manuals/descaling-kessel",
    "Wie viele Tage darf ich von zu Hause arbeiten?": "handbook/remote-work",
    "Bis wann kann ich eine Bestellung zurückschicken?": "support/returns",
    "Mon article a un défaut, combien d'années êtes-vous responsables ?": "support/warranty",
    "J'ai trouvé ce produit moins cher ailleurs, que faites-vous ?": "support/price-match",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_multilingual_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def multilingual(folder: Path) -> Embedder:
    return load_embedder(str(folder))


def test_the_folder_s_own_prefixes_are_used(multilingual: Embedder) -> None:
    """E5 was trained with "query: " and "passage: ", which its configuration names."""
    text = "the station"
    question, passage = multilingual.embed_queries([text])[0], multilingual.embed([text])[0]
    assert multilingual.identity.dimension == 384
    assert 0.4 < float(question @ passage) < 0.95


def test_a_sentence_is_nearest_to_its_translation(multilingual: Embedder) -> None:
    """Of eight sentences in English, for each in three other languages."""
    english = ["The train leaves at noon.", "Where is the key?", "She paints the wall green.",
               "The soup is too salty.", "He lost his passport.", "The lake is frozen.",
               "We need a new roof.", "The baby is asleep."]  # fmt: skip
    others = [
        ["El tren sale al mediodía.", "¿Dónde está la llave?", "Ella pinta la pared de verde.",
         "La sopa está demasiado salada.", "Perdió su pasaporte.", "El lago está helado.",
         "Necesitamos un tejado nuevo.", "El bebé está dormido."],
        ["Der Zug fährt um zwölf Uhr ab.", "Wo ist der Schlüssel?", "Sie streicht die Wand grün.",
         "Die Suppe ist zu salzig.", "Er hat seinen Reisepass verloren.",
         "Der See ist zugefroren.", "Wir brauchen ein neues Dach.", "Das Baby schläft."],
        ["Le train part à midi.", "Où est la clé ?", "Elle peint le mur en vert.",
         "La soupe est trop salée.", "Il a perdu son passeport.", "Le lac est gelé.",
         "Il nous faut un nouveau toit.", "Le bébé dort."],
    ]  # fmt: skip
    passages = multilingual.embed(english)
    for sentences in others:
        nearest = np.argmax(multilingual.embed_queries(sentences) @ passages.T, axis=1)
        assert nearest.tolist() == list(range(8))


def test_questions_find_documents_of_another_language(folder: Path, tmp_path: Path) -> None:
    """The whole way of a question, as the server goes it; the model for English falls behind."""
    collection = tmp_path / "foreign"
    _write_collection(collection)
    figures = {}
    for name, model in (("multilingual", str(folder)), ("english", "all-MiniLM-L6-v2")):
        out = tmp_path / f"{name}.json"
        arguments = [str(collection), "--model", model, "--no-cache", "--json", str(out)]
        assert main(arguments) == 0
        figures[name] = json.loads(out.read_text())["foreign"]
    assert figures["multilingual"]["mrr@10"] >= 0.9
    assert figures["english"]["mrr@10"] < figures["multilingual"]["mrr@10"]


def _write_collection(collection: Path) -> None:
    (collection / "qrels").mkdir(parents=True)
    documents = [
        {"_id": name, "title": "", "text": (KB_DOCS / f"{name}.md").read_text()}
        for name in DOCUMENTS
    ]
    questions = [{"_id": f"q{n}", "text": text} for n, text in enumerate(QUESTIONS)]
    relevant = [f"q{n}\t{name}\t1" for n, name in enumerate(QUESTIONS.values())]
    for name, rows in (("corpus", documents), ("queries", questions)):
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (collection / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (collection / "qrels" / "test.tsv").write_text(
        "\n".join(["query-id\tcorpus-id\tscore", *relevant]), encoding="utf-8"
    )
