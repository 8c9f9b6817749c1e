"""The words of the pages that mails link to, in German, Spanish and French."""

from __future__ import annotations

from typing import Final

PAGES: Final[dict[str, tuple[str, str, str]]] = {
    "That did not work. Please try again.": (
        "Das hat nicht geklappt. Bitte versuchen Sie es noch einmal.",
        "No ha funcionado. Inténtelo de nuevo.",
        "Cela n'a pas fonctionné. Veuillez réessayer.",
    ),
    "The server could not be reached. Please try again.": (
        "Der Server war nicht zu erreichen. Bitte versuchen Sie es noch einmal.",
        "No se pudo contactar con el servidor. Inténtelo de nuevo.",
        "Le serveur n'a pas pu être joint. Veuillez réessayer.",
    ),
    # Confirming an address
    "Confirm your address": (
        "Adresse bestätigen",
        "Confirmar su dirección",
        "Confirmer votre adresse",
    ),
    "If you did not register, close this page: nothing is confirmed then.": (
        "Wenn Sie sich nicht registriert haben, schließen Sie diese Seite: Dann wird nichts bestätigt.",
        "Si no se registró, cierre esta página: entonces no se confirma nada.",
        "Si vous ne vous êtes pas inscrit, fermez cette page : rien n'est alors confirmé.",
    ),
    "The password with which you registered": (
        "Das Passwort, mit dem Sie sich registriert haben",
        "La contraseña con la que se registró",
        "Le mot de passe avec lequel vous vous êtes inscrit",
    ),
    "{email} is confirmed. You can close this page and log in.": (
        "{email} ist bestätigt. Sie können diese Seite schließen und sich anmelden.",
        "{email} está confirmada. Puede cerrar esta página e iniciar sesión.",
        "{email} est confirmée. Vous pouvez fermer cette page et vous connecter.",
    ),
    # Setting a new password
    "New password, 8 to 128 characters": (
        "Neues Passwort, 8 bis 128 Zeichen",
        "Contraseña nueva, de 8 a 128 caracteres",
        "Nouveau mot de passe, de 8 à 128 caractères",
    ),
    "Set this password": (
        "Dieses Passwort festlegen",
        "Establecer esta contraseña",
        "Définir ce mot de passe",
    ),
    "The new password is set. You can close this page and log in.": (
        "Das neue Passwort gilt. Sie können diese Seite schließen und sich anmelden.",
        "La contraseña nueva está establecida. Puede cerrar esta página e iniciar sesión.",
        "Le nouveau mot de passe est défini. Vous pouvez fermer cette page et vous connecter.",
    ),
    # Changing an address
    "Confirm the change of your address": (
        "Änderung der Adresse bestätigen",
        "Confirmar el cambio de su dirección",
        "Confirmer le changement de votre adresse",
    ),
    "Press the button to agree.": (
        "Stimmen Sie mit dem Knopf zu.",
        "Pulse el botón para aceptar.",
        "Appuyez sur le bouton pour accepter.",
    ),
    "Confirm the change": (
        "Änderung bestätigen",
        "Confirmar el cambio",
        "Confirmer le changement",
    ),
    "The address is {newEmail} now. You can close this page.": (
        "Die Adresse ist jetzt {newEmail}. Sie können diese Seite schließen.",
        "La dirección es ahora {newEmail}. Puede cerrar esta página.",
        "L'adresse est maintenant {newEmail}. Vous pouvez fermer cette page.",
    ),
    "Confirmed. Please open the link in the mail to the other address, too.": (
        "Bestätigt. Bitte öffnen Sie auch den Link in der Mail an die andere Adresse.",
        "Confirmado. Abra también el enlace del correo enviado a la otra dirección.",
        "Confirmé. Veuillez aussi ouvrir le lien du message envoyé à l'autre adresse.",
    ),
}
