"""The words of our mails, in German, Spanish and French."""

from __future__ import annotations

from typing import Final

MAILS: Final[dict[str, tuple[str, str, str]]] = {
    "Hello,": ("Guten Tag,", "Hola:", "Bonjour,"),
    "Or copy this address into your browser:": (
        "Oder kopieren Sie diese Adresse in Ihren Browser:",
        "O copie esta dirección en su navegador:",
        "Ou copiez cette adresse dans votre navigateur :",
    ),
    "Go to GroundQL": ("Zu GroundQL", "Ir a GroundQL", "Aller à GroundQL"),
    # Confirming an address
    "Please confirm your email address": (
        "Bitte bestätigen Sie Ihre E-Mail-Adresse",
        "Confirme su dirección de correo electrónico",
        "Veuillez confirmer votre adresse e-mail",
    ),
    "Someone, hopefully you, registered at GroundQL with the address {email}.": (
        "Jemand, hoffentlich Sie, hat sich bei GroundQL mit der Adresse {email} registriert.",
        "Alguien, esperamos que usted, se registró en GroundQL con la dirección {email}.",
        "Quelqu'un, vous espérons-le, s'est inscrit à GroundQL avec l'adresse {email}.",
    ),
    "Open this link and give your password to confirm that the address is yours:": (
        "Öffnen Sie diesen Link, und geben Sie Ihr Passwort an, um zu bestätigen, dass die Adresse "
        "Ihnen gehört:",
        "Abra este enlace e indique su contraseña para confirmar que la dirección es suya:",
        "Ouvrez ce lien et indiquez votre mot de passe pour confirmer que l'adresse est la vôtre :",
    ),
    "Confirm this address": (
        "Diese Adresse bestätigen",
        "Confirmar esta dirección",
        "Confirmer cette adresse",
    ),
    "The link works for 48 hours.": (
        "Der Link gilt 48 Stunden.",
        "El enlace funciona durante 48 horas.",
        "Le lien est valable 48 heures.",
    ),
    "If it was not you, do nothing: without the password of the registration nothing is confirmed.": (
        "Wenn Sie es nicht waren, tun Sie nichts: Ohne das Passwort der Registrierung wird nichts "
        "bestätigt.",
        "Si no fue usted, no haga nada: sin la contraseña del registro no se confirma nada.",
        "Si ce n'était pas vous, ne faites rien : sans le mot de passe de l'inscription, rien n'est "
        "confirmé.",
    ),
    # An account that is there already
    "You already have an account": (
        "Sie haben schon ein Konto",
        "Ya tiene una cuenta",
        "Vous avez déjà un compte",
    ),
    "Someone, perhaps you, tried to register at GroundQL with the address {email}.": (
        "Jemand, vielleicht Sie, wollte sich bei GroundQL mit der Adresse {email} registrieren.",
        "Alguien, quizá usted, intentó registrarse en GroundQL con la dirección {email}.",
        "Quelqu'un, peut-être vous, a essayé de s'inscrire à GroundQL avec l'adresse {email}.",
    ),
    "You already have an account, so nothing was changed. Log in with your password:": (
        "Sie haben schon ein Konto, daher wurde nichts geändert. Melden Sie sich mit Ihrem Passwort "
        "an:",
        "Ya tiene una cuenta, así que no se cambió nada. Inicie sesión con su contraseña:",
        "Vous avez déjà un compte, rien n'a donc été modifié. Connectez-vous avec votre mot de "
        "passe :",
    ),
    "If it was not you, you need not do anything: your account is safe.": (
        "Wenn Sie es nicht waren, müssen Sie nichts tun: Ihr Konto ist sicher.",
        "Si no fue usted, no tiene que hacer nada: su cuenta está segura.",
        "Si ce n'était pas vous, vous n'avez rien à faire : votre compte est en sécurité.",
    ),
    # Other passwords
    "Set a new password": (
        "Neues Passwort setzen",
        "Establecer una contraseña nueva",
        "Définir un nouveau mot de passe",
    ),
    "Someone, hopefully you, has forgotten the password of the account {email}.": (
        "Jemand, hoffentlich Sie, hat das Passwort des Kontos {email} vergessen.",
        "Alguien, esperamos que usted, ha olvidado la contraseña de la cuenta {email}.",
        "Quelqu'un, vous espérons-le, a oublié le mot de passe du compte {email}.",
    ),
    "Open this link to set a new one; you will be logged out everywhere:": (
        "Öffnen Sie diesen Link, um ein neues zu setzen; Sie werden überall abgemeldet:",
        "Abra este enlace para establecer una nueva; se cerrarán todas sus sesiones:",
        "Ouvrez ce lien pour en définir un nouveau ; vous serez déconnecté partout :",
    ),
    "The link works for one hour.": (
        "Der Link gilt eine Stunde.",
        "El enlace funciona durante una hora.",
        "Le lien est valable une heure.",
    ),
    "Your password was changed": (
        "Ihr Passwort wurde geändert",
        "Se cambió su contraseña",
        "Votre mot de passe a été modifié",
    ),
    "The password of the account {email} was changed just now.": (
        "Das Passwort des Kontos {email} wurde soeben geändert.",
        "La contraseña de la cuenta {email} se acaba de cambiar.",
        "Le mot de passe du compte {email} vient d'être modifié.",
    ),
    "If it was you, all is well. If not, open GroundQL and set a new password at once, "
    'with "forgotten password":': (
        "Wenn Sie es waren, ist alles in Ordnung. Wenn nicht, öffnen Sie GroundQL, und setzen Sie "
        'sofort ein neues Passwort, mit "Passwort vergessen":',
        "Si fue usted, todo está bien. Si no, abra GroundQL y establezca enseguida una contraseña "
        'nueva con "contraseña olvidada":',
        "Si c'était vous, tout va bien. Sinon, ouvrez GroundQL et définissez aussitôt un nouveau "
        'mot de passe, avec "mot de passe oublié" :',
    ),
    # Another address, and the end of an account
    "Please confirm the change of your address": (
        "Bitte bestätigen Sie die Änderung Ihrer Adresse",
        "Confirme el cambio de su dirección",
        "Veuillez confirmer le changement de votre adresse",
    ),
    "Someone, hopefully you, wants a GroundQL account to have the address {email} from now on.": (
        "Jemand, hoffentlich Sie, möchte, dass ein GroundQL-Konto ab jetzt die Adresse {email} hat.",
        "Alguien, esperamos que usted, quiere que una cuenta de GroundQL tenga a partir de ahora la "
        "dirección {email}.",
        "Quelqu'un, vous espérons-le, souhaite qu'un compte GroundQL ait désormais l'adresse "
        "{email}.",
    ),
    "It happens once the link in this mail and the one in the mail to the other address were "
    "opened:": (
        "Das geschieht, sobald der Link in dieser E-Mail und der in der E-Mail an die andere Adresse "
        "geöffnet wurden:",
        "Se hará en cuanto se hayan abierto el enlace de este correo y el del correo a la otra "
        "dirección:",
        "Cela se fera dès que le lien de cet e-mail et celui de l'e-mail à l'autre adresse auront "
        "été ouverts :",
    ),
    "Confirm the change": ("Änderung bestätigen", "Confirmar el cambio", "Confirmer le changement"),
    "If it was not you, do not open the link, and set a new password.": (
        "Wenn Sie es nicht waren, öffnen Sie den Link nicht, und setzen Sie ein neues Passwort.",
        "Si no fue usted, no abra el enlace y establezca una contraseña nueva.",
        "Si ce n'était pas vous, n'ouvrez pas le lien et définissez un nouveau mot de passe.",
    ),
    "Your address was changed": (
        "Ihre Adresse wurde geändert",
        "Se cambió su dirección",
        "Votre adresse a été modifiée",
    ),
    "Your GroundQL account has the address {email} from now on.": (
        "Ihr GroundQL-Konto hat ab jetzt die Adresse {email}.",
        "Su cuenta de GroundQL tiene a partir de ahora la dirección {email}.",
        "Votre compte GroundQL a désormais l'adresse {email}.",
    ),
    "Your account was deleted": (
        "Ihr Konto wurde gelöscht",
        "Se eliminó su cuenta",
        "Votre compte a été supprimé",
    ),
    "The GroundQL account {email} was deleted, as you asked.": (
        "Das GroundQL-Konto {email} wurde auf Ihren Wunsch gelöscht.",
        "La cuenta de GroundQL {email} se eliminó, como pidió.",
        "Le compte GroundQL {email} a été supprimé, comme vous l'avez demandé.",
    ),
    "You are always welcome to make a new one:": (
        "Sie können jederzeit ein neues anlegen:",
        "Puede crear una nueva cuando quiera:",
        "Vous pouvez en créer un nouveau à tout moment :",
    ),
    # A conversation that was shared
    "A conversation was shared with you": (
        "Eine Unterhaltung wurde mit Ihnen geteilt",
        "Se compartió una conversación con usted",
        "Une conversation a été partagée avec vous",
    ),
    "Someone who uses GroundQL has shared a conversation with you.": (
        "Jemand, der GroundQL benutzt, hat eine Unterhaltung mit Ihnen geteilt.",
        "Alguien que usa GroundQL ha compartido una conversación con usted.",
        "Quelqu'un qui utilise GroundQL a partagé une conversation avec vous.",
    ),
    "Log in with the address {email} to see it in your list:": (
        "Melden Sie sich mit der Adresse {email} an, um sie in Ihrer Liste zu sehen:",
        "Inicie sesión con la dirección {email} para verla en su lista:",
        "Connectez-vous avec l'adresse {email} pour la voir dans votre liste :",
    ),
    "If you did not expect this, you need not do anything; you can leave it at any time.": (
        "Wenn Sie das nicht erwartet haben, müssen Sie nichts tun; Sie können jederzeit wieder "
        "hinaus.",
        "Si no lo esperaba, no tiene que hacer nada; puede salir en cualquier momento.",
        "Si vous ne vous y attendiez pas, vous n'avez rien à faire ; vous pouvez la quitter à tout "
        "moment.",
    ),
    "To see it, register with exactly this address, {email}, and open the link in the mail that "
    "follows; the conversation is in your list then:": (
        "Um sie zu sehen, registrieren Sie sich mit genau dieser Adresse, {email}, und öffnen Sie "
        "den Link in der E-Mail, die darauf folgt; dann steht die Unterhaltung in Ihrer Liste:",
        "Para verla, regístrese con exactamente esta dirección, {email}, y abra el enlace del "
        "correo que sigue; la conversación estará entonces en su lista:",
        "Pour la voir, inscrivez-vous avec exactement cette adresse, {email}, et ouvrez le lien de "
        "l'e-mail qui suit ; la conversation sera alors dans votre liste :",
    ),
    "If you did not expect this, do nothing: without you nobody can use your address.": (
        "Wenn Sie das nicht erwartet haben, tun Sie nichts: Ohne Sie kann niemand Ihre Adresse "
        "benutzen.",
        "Si no lo esperaba, no haga nada: sin usted nadie puede usar su dirección.",
        "Si vous ne vous y attendiez pas, ne faites rien : sans vous, personne ne peut utiliser "
        "votre adresse.",
    ),
    # Ways to sign in
    "Another way to sign in was added": (
        "Ein weiterer Weg zur Anmeldung kam hinzu",
        "Se añadió otra forma de iniciar sesión",
        "Un autre moyen de connexion a été ajouté",
    ),
    "From now on, an identity at {provider} signs in to the GroundQL account {email}.": (
        "Ab jetzt meldet eine Identität bei {provider} am GroundQL-Konto {email} an.",
        "Desde ahora, una identidad de {provider} inicia sesión en la cuenta de GroundQL {email}.",
        "Désormais, une identité chez {provider} se connecte au compte GroundQL {email}.",
    ),
    "If it was you, all is well. If not, open GroundQL, set a new password at once, with "
    '"forgotten password", and remove that identity from your account:': (
        "Wenn Sie es waren, ist alles in Ordnung. Wenn nicht, öffnen Sie GroundQL, setzen Sie sofort "
        'ein neues Passwort, mit "Passwort vergessen", und entfernen Sie diese Identität aus Ihrem '
        "Konto:",
        "Si fue usted, todo está bien. Si no, abra GroundQL, establezca enseguida una contraseña "
        'nueva con "contraseña olvidada" y elimine esa identidad de su cuenta:',
        "Si c'était vous, tout va bien. Sinon, ouvrez GroundQL, définissez aussitôt un nouveau mot "
        'de passe, avec "mot de passe oublié", et retirez cette identité de votre compte :',
    ),
    "A way to sign in was removed": (
        "Ein Weg zur Anmeldung wurde entfernt",
        "Se eliminó una forma de iniciar sesión",
        "Un moyen de connexion a été retiré",
    ),
    "An identity at {provider} does not sign in to the GroundQL account {email} any more, and the "
    "logins that it had made were ended.": (
        "Eine Identität bei {provider} meldet nicht mehr am GroundQL-Konto {email} an, und die "
        "Anmeldungen, die durch sie entstanden waren, wurden beendet.",
        "Una identidad de {provider} ya no inicia sesión en la cuenta de GroundQL {email}, y se "
        "cerraron las sesiones que había abierto.",
        "Une identité chez {provider} ne se connecte plus au compte GroundQL {email}, et les "
        "connexions qu'elle avait ouvertes ont été fermées.",
    ),
}
