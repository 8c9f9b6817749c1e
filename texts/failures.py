"""Why a reply has failed, in German, Spanish and French."""

from __future__ import annotations

from typing import Final

FAILURES: Final[dict[str, tuple[str, str, str]]] = {
    "The answer could not be generated. Please try again.": (
        "Die Antwort konnte nicht erzeugt werden. Bitte versuchen Sie es noch einmal.",
        "No se pudo generar la respuesta. Inténtelo de nuevo.",
        "La réponse n'a pas pu être générée. Veuillez réessayer.",
    ),
    "The language model could not be reached. Please try again in a moment.": (
        "Das Sprachmodell war nicht erreichbar. Bitte versuchen Sie es gleich noch einmal.",
        "No se pudo contactar con el modelo de lenguaje. Inténtelo de nuevo en un momento.",
        "Le modèle de langage n'a pas pu être joint. Veuillez réessayer dans un instant.",
    ),
    "The language model took too long to answer. Please try again.": (
        "Das Sprachmodell hat zu lange gebraucht. Bitte versuchen Sie es noch einmal.",
        "El modelo de lenguaje tardó demasiado en responder. Inténtelo de nuevo.",
        "Le modèle de langage a mis trop de temps à répondre. Veuillez réessayer.",
    ),
    "The language model is busy at the moment. Please try again in a minute.": (
        "Das Sprachmodell ist gerade ausgelastet. Bitte versuchen Sie es in einer Minute wieder.",
        "El modelo de lenguaje está ocupado en este momento. Inténtelo de nuevo en un minuto.",
        "Le modèle de langage est occupé en ce moment. Veuillez réessayer dans une minute.",
    ),
    "The language model refused the request. Please tell the administrator of this service.": (
        "Das Sprachmodell hat die Anfrage abgelehnt. Bitte wenden Sie sich an die Verwaltung dieses "
        "Dienstes.",
        "El modelo de lenguaje rechazó la solicitud. Avise al administrador de este servicio.",
        "Le modèle de langage a refusé la demande. Veuillez prévenir l'administrateur de ce "
        "service.",
    ),
    "Questions cannot be answered at the moment. Please tell the administrator of this service.": (
        "Fragen können zurzeit nicht beantwortet werden. Bitte wenden Sie sich an die Verwaltung "
        "dieses Dienstes.",
        "En este momento no se pueden responder preguntas. Avise al administrador de este "
        "servicio.",
        "Les questions ne peuvent pas être traitées en ce moment. Veuillez prévenir "
        "l'administrateur de ce service.",
    ),
    "The answer could not be generated because of a problem on our side. Please try again.": (
        "Die Antwort konnte wegen eines Fehlers bei uns nicht erzeugt werden. Bitte versuchen Sie "
        "es noch einmal.",
        "No se pudo generar la respuesta por un problema nuestro. Inténtelo de nuevo.",
        "La réponse n'a pas pu être générée à cause d'un problème de notre côté. Veuillez "
        "réessayer.",
    ),
    "The answer could not be stored because of a problem on our side. Please try again.": (
        "Die Antwort konnte wegen eines Fehlers bei uns nicht gespeichert werden. Bitte versuchen "
        "Sie es noch einmal.",
        "No se pudo guardar la respuesta por un problema nuestro. Inténtelo de nuevo.",
        "La réponse n'a pas pu être enregistrée à cause d'un problème de notre côté. Veuillez "
        "réessayer.",
    ),
    "The server was restarted before the answer was complete. Please ask again.": (
        "Der Server wurde neu gestartet, bevor die Antwort fertig war. Bitte fragen Sie noch "
        "einmal.",
        "El servidor se reinició antes de que la respuesta estuviera completa. Pregunte de nuevo.",
        "Le serveur a redémarré avant la fin de la réponse. Veuillez reposer la question.",
    ),
    "The language model's safety rules stopped this answer. Please put the question differently.": (
        "Die Sicherheitsregeln des Sprachmodells haben diese Antwort angehalten. Bitte stellen Sie "
        "die Frage anders.",
        "Las reglas de seguridad del modelo de lenguaje detuvieron esta respuesta. Formule la "
        "pregunta de otra manera.",
        "Les règles de sécurité du modèle de langage ont arrêté cette réponse. Veuillez poser la "
        "question autrement.",
    ),
    "The language model's safety rules do not allow this question. Please put it differently.": (
        "Die Sicherheitsregeln des Sprachmodells lassen diese Frage nicht zu. Bitte stellen Sie sie "
        "anders.",
        "Las reglas de seguridad del modelo de lenguaje no permiten esta pregunta. Formúlela de "
        "otra manera.",
        "Les règles de sécurité du modèle de langage n'autorisent pas cette question. Veuillez la "
        "poser autrement.",
    ),
    "The language model's quota is used up. Please tell the administrator of this service.": (
        "Das Kontingent beim Sprachmodell ist aufgebraucht. Bitte wenden Sie sich an die Verwaltung "
        "dieses Dienstes.",
        "La cuota del modelo de lenguaje está agotada. Avise al administrador de este servicio.",
        "Le quota du modèle de langage est épuisé. Veuillez prévenir l'administrateur de ce "
        "service.",
    ),
}
