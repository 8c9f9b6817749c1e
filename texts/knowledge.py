"""What an editor must change: messages about documents and collections, in German, Spanish and
French."""

from __future__ import annotations

from typing import Final

KNOWLEDGE: Final[dict[str, tuple[str, str, str]]] = {
    # Documents
    "title is missing.": (
        "title fehlt.",
        "Falta title.",
        "title manque.",
    ),
    "content is empty: there is no word to search for.": (
        "content ist leer: Es enthält kein Wort, nach dem man suchen könnte.",
        "content está vacío: no contiene ninguna palabra que buscar.",
        "content est vide : il ne contient aucun mot à rechercher.",
    ),
    'language must be a two-letter code of ISO 639-1, such as "en".': (
        'language muss ein Code aus zwei Buchstaben nach ISO 639-1 sein, wie "en".',
        'language debe ser un código de dos letras de ISO 639-1, como "en".',
        'language doit être un code de deux lettres ISO 639-1, comme "en".',
    ),
    "{name}: files of this kind cannot be read. The name must end in one of {suffixes}.": (
        "{name}: Dateien dieser Art können nicht gelesen werden. Der Name muss auf eines von "
        "{suffixes} enden.",
        "{name}: no se pueden leer archivos de este tipo. El nombre debe terminar en uno de "
        "{suffixes}.",
        "{name} : les fichiers de ce type ne peuvent pas être lus. Le nom doit se terminer par "
        "l'un de {suffixes}.",
    ),
    "{name}: the file is empty.": (
        "{name}: Die Datei ist leer.",
        "{name}: el archivo está vacío.",
        "{name} : le fichier est vide.",
    ),
    "{name}: the file is larger than {maximum} MB.": (
        "{name}: Die Datei ist größer als {maximum} MB.",
        "{name}: el archivo es mayor de {maximum} MB.",
        "{name} : le fichier dépasse {maximum} Mo.",
    ),
    "The document has no text that could be kept; send content.": (
        "Das Dokument hat keinen Text, der bleiben könnte; bitte content senden.",
        "El documento no tiene texto que pueda conservarse; envíe content.",
        "Le document n'a pas de texte à conserver ; envoyez content.",
    ),
    "The document with this key is in another collection. Leave collectionId out, or move the "
    "document with moveDocuments first.": (
        "Das Dokument mit diesem key liegt in einer anderen Sammlung. Lassen Sie collectionId weg "
        "oder verschieben Sie das Dokument zuerst mit moveDocuments.",
        "El documento con esta key está en otra colección. Omita collectionId o mueva antes el "
        "documento con moveDocuments.",
        "Le document avec cette key est dans une autre collection. Omettez collectionId ou déplacez "
        "d'abord le document avec moveDocuments.",
    ),
    "Only a file whose name ends in .jsonl or .ndjson takes a mapping; leave it out.": (
        "Nur eine Datei, deren Name auf .jsonl oder .ndjson endet, nimmt ein mapping; bitte "
        "weglassen.",
        "Solo un archivo cuyo nombre termina en .jsonl o .ndjson admite un mapping; omítalo.",
        "Seul un fichier dont le nom se termine par .jsonl ou .ndjson accepte un mapping ; "
        "omettez-le.",
    ),
    "{field} takes 1 to {maximum} names of fields.": (
        "{field} nimmt 1 bis {maximum} Feldnamen.",
        "{field} admite de 1 a {maximum} nombres de campos.",
        "{field} accepte de 1 à {maximum} noms de champs.",
    ),
    # Lists and the webhook
    'The document with the key "{key}" is in another collection. Move it with moveDocuments first, '
    "or leave it out.": (
        'Das Dokument mit dem key "{key}" liegt in einer anderen Sammlung. Verschieben Sie es zuerst '
        "mit moveDocuments oder lassen Sie es weg.",
        'El documento con la key "{key}" está en otra colección. Muévalo antes con moveDocuments u '
        "omítalo.",
        'Le document avec la key "{key}" est dans une autre collection. Déplacez-le d\'abord avec '
        "moveDocuments ou omettez-le.",
    ),
    "A manifest has at most {maximum} entries.": (
        "Ein Manifest hat höchstens {maximum} Einträge.",
        "Un manifiesto tiene como máximo {maximum} entradas.",
        "Un manifeste a au maximum {maximum} entrées.",
    ),
    "An empty list with deleteMissing would delete all documents of the source.": (
        "Eine leere Liste mit deleteMissing würde alle Dokumente der Quelle löschen.",
        "Una lista vacía con deleteMissing borraría todos los documentos de la fuente.",
        "Une liste vide avec deleteMissing supprimerait tous les documents de la source.",
    ),
    'The hash of "{key}" is no SHA-256 in 64 hexadecimal digits.': (
        'Der Hash von "{key}" ist kein SHA-256 aus 64 Hexadezimalziffern.',
        'El hash de "{key}" no es un SHA-256 de 64 cifras hexadecimales.',
        'Le hash de "{key}" n\'est pas un SHA-256 de 64 chiffres hexadécimaux.',
    ),
    'The key "{key}" is listed twice.': (
        'Der key "{key}" kommt zweimal vor.',
        'La key "{key}" aparece dos veces.',
        'La key "{key}" figure deux fois.',
    ),
    "A call holds 1 to {maximum} documents and keys.": (
        "Ein Aufruf enthält 1 bis {maximum} Dokumente und Schlüssel.",
        "Una llamada contiene de 1 a {maximum} documentos y claves.",
        "Un appel contient de 1 à {maximum} documents et clés.",
    ),
    "A document has the fields {fields}.": (
        "Ein Dokument hat die Felder {fields}.",
        "Un documento tiene los campos {fields}.",
        "Un document a les champs {fields}.",
    ),
    "A document must be a JSON object.": (
        "Ein Dokument muss ein JSON-Objekt sein.",
        "Un documento debe ser un objeto JSON.",
        "Un document doit être un objet JSON.",
    ),
    "A key must be a text.": (
        "Ein key muss ein Text sein.",
        "Una key debe ser un texto.",
        "Une key doit être un texte.",
    ),
    "A key occurs twice; each may occur once in a call.": (
        "Ein key kommt zweimal vor; in einem Aufruf darf jeder nur einmal vorkommen.",
        "Una key aparece dos veces; cada una puede aparecer una vez por llamada.",
        "Une key figure deux fois ; chacune ne peut figurer qu'une fois par appel.",
    ),
    "Beside documents, delete and collectionId there is nothing to say.": (
        "Außer documents, delete und collectionId gibt es nichts anzugeben.",
        "Aparte de documents, delete y collectionId no hay nada que indicar.",
        "En dehors de documents, delete et collectionId, il n'y a rien à indiquer.",
    ),
    "The body must be a JSON object.": (
        "Der Inhalt muss ein JSON-Objekt sein.",
        "El cuerpo debe ser un objeto JSON.",
        "Le corps doit être un objet JSON.",
    ),
    "{field} is missing.": (
        "{field} fehlt.",
        "Falta {field}.",
        "{field} manque.",
    ),
    "{field} must be a list.": (
        "{field} muss eine Liste sein.",
        "{field} debe ser una lista.",
        "{field} doit être une liste.",
    ),
    "{field} must be a text.": (
        "{field} muss ein Text sein.",
        "{field} debe ser un texto.",
        "{field} doit être un texte.",
    ),
    # Collections and groups
    "There is no such collection.": (
        "Diese Sammlung gibt es nicht.",
        "Esa colección no existe.",
        "Cette collection n'existe pas.",
    ),
    "There is no such group.": (
        "Diese Gruppe gibt es nicht.",
        "Ese grupo no existe.",
        "Ce groupe n'existe pas.",
    ),
    "There is a collection with this name already.": (
        "Eine Sammlung mit diesem Namen gibt es schon.",
        "Ya existe una colección con este nombre.",
        "Une collection porte déjà ce nom.",
    ),
    "There is a group with this name already.": (
        "Eine Gruppe mit diesem Namen gibt es schon.",
        "Ya existe un grupo con este nombre.",
        "Un groupe porte déjà ce nom.",
    ),
    "There is no confirmed account with {email}.": (
        "Es gibt kein bestätigtes Konto mit {email}.",
        "No hay ninguna cuenta confirmada con {email}.",
        "Il n'y a pas de compte confirmé avec {email}.",
    ),
    "There are {count} documents in this collection. Move or delete them first.": (
        "In dieser Sammlung liegen {count} Dokumente. Verschieben oder löschen Sie diese zuerst.",
        "En esta colección hay {count} documentos. Muévalos o bórrelos primero.",
        "Cette collection contient {count} documents. Déplacez-les ou supprimez-les d'abord.",
    ),
    "The general collection is always there; rename it instead.": (
        "Die allgemeine Sammlung bleibt immer; benennen Sie sie stattdessen um.",
        "La colección general siempre existe; cámbiele el nombre.",
        "La collection générale existe toujours ; renommez-la plutôt.",
    ),
    "Name 1 to {maximum} documents.": (
        "Nennen Sie 1 bis {maximum} Dokumente.",
        "Indique de 1 a {maximum} documentos.",
        "Indiquez de 1 à {maximum} documents.",
    ),
    "Name at least one role that sees the collection.": (
        "Nennen Sie mindestens eine Rolle, die die Sammlung sieht.",
        "Indique al menos un rol que vea la colección.",
        "Indiquez au moins un rôle qui voit la collection.",
    ),
    "People and groups count only with the audience NAMED; choose that, too.": (
        "Personen und Gruppen zählen nur mit dem Publikum NAMED; wählen Sie auch dieses.",
        "Las personas y los grupos solo cuentan con la audiencia NAMED; elíjala también.",
        "Les personnes et les groupes ne comptent qu'avec l'audience NAMED ; choisissez-la aussi.",
    ),
    "Roles count only with the audience ROLES; choose that, too.": (
        "Rollen zählen nur mit dem Publikum ROLES; wählen Sie auch dieses.",
        "Los roles solo cuentan con la audiencia ROLES; elíjala también.",
        "Les rôles ne comptent qu'avec l'audience ROLES ; choisissez-la aussi.",
    ),
    "At most {maximum} can be named; make a group of them.": (
        "Höchstens {maximum} können genannt werden; machen Sie eine Gruppe daraus.",
        "Se pueden indicar como máximo {maximum}; haga un grupo con ellos.",
        "On peut en indiquer {maximum} au maximum ; faites-en un groupe.",
    ),
    "At most {maximum} people at once.": (
        "Höchstens {maximum} Personen auf einmal.",
        "Como máximo {maximum} personas a la vez.",
        "{maximum} personnes au maximum à la fois.",
    ),
}
