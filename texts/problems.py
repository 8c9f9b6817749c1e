"""What a person must change: the messages of problems, in German, Spanish and French."""

from __future__ import annotations

from typing import Final

PROBLEMS: Final[dict[str, tuple[str, str, str]]] = {
    # Texts and fields
    "{field} is too short: at least {minimum} characters.": (
        "{field} ist zu kurz: mindestens {minimum} Zeichen.",
        "{field} es demasiado corto: al menos {minimum} caracteres.",
        "{field} est trop court : au moins {minimum} caractères.",
    ),
    "{field} is too long: {length} characters, at most {maximum} are allowed.": (
        "{field} ist zu lang: {length} Zeichen, erlaubt sind höchstens {maximum}.",
        "{field} es demasiado largo: {length} caracteres; se permiten como máximo {maximum}.",
        "{field} est trop long : {length} caractères, {maximum} au maximum sont permis.",
    ),
    "{field} contains a NUL character; remove it.": (
        "{field} enthält ein NUL-Zeichen; bitte entfernen.",
        "{field} contiene un carácter NUL; elimínelo.",
        "{field} contient un caractère NUL ; supprimez-le.",
    ),
    "{field} contains half of a surrogate pair, which is not a character; remove it.": (
        "{field} enthält ein halbes Surrogatpaar, das kein Zeichen ist; bitte entfernen.",
        "{field} contiene medio par suplente, que no es un carácter; elimínelo.",
        "{field} contient une moitié de paire de substitution, qui n'est pas un caractère ; "
        "supprimez-la.",
    ),
    "A filter takes at most {maximum} values each.": (
        "Ein Filter nimmt je höchstens {maximum} Werte.",
        "Un filtro admite como máximo {maximum} valores por campo.",
        "Un filtre accepte au maximum {maximum} valeurs par champ.",
    ),
    "At most {maximum} tags are allowed.": (
        "Höchstens {maximum} Schlagwörter sind erlaubt.",
        "Se permiten como máximo {maximum} etiquetas.",
        "{maximum} étiquettes au maximum sont permises.",
    ),
    # Accounts
    "A name has 1 to {maximum} characters.": (
        "Ein Name hat 1 bis {maximum} Zeichen.",
        "Un nombre tiene de 1 a {maximum} caracteres.",
        "Un nom a de 1 à {maximum} caractères.",
    ),
    "The name contains a control character; remove it.": (
        "Der Name enthält ein Steuerzeichen; bitte entfernen.",
        "El nombre contiene un carácter de control; elimínelo.",
        "Le nom contient un caractère de contrôle ; supprimez-le.",
    ),
    "The name contains nothing that can be seen.": (
        "Der Name enthält nichts Sichtbares.",
        "El nombre no contiene nada visible.",
        "Le nom ne contient rien de visible.",
    ),
    # Sign-in by other providers
    "This address has an account here. Log in to it and link the provider there; if you have no password, ask for the link for a forgotten one.": (
        "Diese Adresse hat hier schon ein Konto. Melden Sie sich dort an und verknüpfen Sie den Anbieter; ohne Passwort fordern Sie den Link für ein vergessenes an.",
        "Esta dirección ya tiene una cuenta aquí. Inicie sesión en ella y vincule el proveedor; si no tiene contraseña, pida el enlace para una olvidada.",
        "Cette adresse a déjà un compte ici. Connectez-vous-y et associez-y le fournisseur ; sans mot de passe, demandez le lien prévu en cas d'oubli.",
    ),
    "You have no password yet; set one first, by the link for a forgotten one.": (
        "Sie haben noch kein Passwort; legen Sie zuerst eines fest, mit dem Link für ein vergessenes.",
        "Aún no tiene contraseña; establezca primero una con el enlace para una olvidada.",
        "Vous n'avez pas encore de mot de passe ; définissez-en d'abord un avec le lien prévu en cas d'oubli.",
    ),
    "There is no such provider.": (
        "Diesen Anbieter gibt es nicht.",
        "No existe ese proveedor.",
        "Ce fournisseur n'existe pas.",
    ),
    "There is no such identity.": (
        "Diese Identität gibt es nicht.",
        "No existe esa identidad.",
        "Cette identité n'existe pas.",
    ),
    "People may not be sent back to this address.": (
        "An diese Adresse darf niemand zurückgeschickt werden.",
        "No se permite el regreso a esta dirección.",
        "Le retour à cette adresse n'est pas permis.",
    ),
    "The provider does not answer as it should; try again later.": (
        "Der Anbieter antwortet nicht, wie er soll; versuchen Sie es später noch einmal.",
        "El proveedor no responde como debería; inténtelo más tarde.",
        "Le fournisseur ne répond pas comme il le devrait ; réessayez plus tard.",
    ),
    "This needs a stronger sign-in at the provider, such as with a second factor; use it there, and begin anew.": (
        "Das braucht eine stärkere Anmeldung beim Anbieter, etwa mit einem zweiten Faktor; verwenden Sie ihn dort und beginnen Sie von vorn.",
        "Hace falta un inicio de sesión más seguro en el proveedor, por ejemplo con un segundo factor; úselo allí y empiece de nuevo.",
        "Il faut une connexion plus forte chez le fournisseur, par exemple avec un second facteur ; utilisez-le là-bas et recommencez.",
    ),
    "Your sign-in at the provider is too old, or the provider does not say when it was; sign in there again, and begin anew.": (
        "Ihre Anmeldung beim Anbieter ist zu alt, oder er sagt nicht, wann sie war; melden Sie sich dort erneut an und beginnen Sie von vorn.",
        "Su inicio de sesión en el proveedor es demasiado antiguo, o este no indica cuándo fue; vuelva a iniciar sesión allí y empiece de nuevo.",
        "Votre connexion chez le fournisseur est trop ancienne, ou il ne dit pas quand elle a eu lieu ; reconnectez-vous là-bas et recommencez.",
    ),
    "This sign-in is invalid, used or expired; begin anew.": (
        "Diese Anmeldung ist ungültig, verbraucht oder abgelaufen; beginnen Sie von vorn.",
        "Este inicio de sesión no es válido, ya se usó o ha caducado; empiece de nuevo.",
        "Cette connexion est invalide, déjà utilisée ou expirée ; recommencez.",
    ),
    "The provider names no email address that it has verified; register here instead.": (
        "Der Anbieter nennt keine E-Mail-Adresse, die er geprüft hat; registrieren Sie sich stattdessen hier.",
        "El proveedor no indica ninguna dirección de correo que haya verificado; regístrese aquí.",
        "Le fournisseur n'indique aucune adresse e-mail qu'il ait vérifiée ; inscrivez-vous plutôt ici.",
    ),
    "At most {maximum} identities can be linked; unlink one first.": (
        "Höchstens {maximum} Identitäten können verknüpft werden; lösen Sie zuerst eine.",
        "Se pueden vincular como máximo {maximum} identidades; desvincule primero una.",
        "{maximum} identités au maximum peuvent être associées ; dissociez-en d'abord une.",
    ),
    "It is your only way to sign in; set a password first, by the link for a forgotten one.": (
        "Das ist Ihr einziger Weg zur Anmeldung; legen Sie zuerst ein Passwort fest, mit dem Link für ein vergessenes.",
        "Es su única forma de iniciar sesión; establezca primero una contraseña con el enlace para una olvidada.",
        "C'est votre seul moyen de connexion ; définissez d'abord un mot de passe avec le lien prévu en cas d'oubli.",
    ),
    "This identity belongs to another account here.": (
        "Diese Identität gehört hier zu einem anderen Konto.",
        "Esta identidad pertenece aquí a otra cuenta.",
        "Cette identité appartient ici à un autre compte.",
    ),
    "You registered from another place: give the password of your registration, too.": (
        "Sie haben sich von einem anderen Ort aus registriert: Geben Sie auch das Passwort Ihrer "
        "Registrierung an.",
        "Se registró desde otro lugar: indique también la contraseña de su registro.",
        "Vous vous êtes inscrit depuis un autre endroit : indiquez aussi le mot de passe de votre "
        "inscription.",
    ),
    "This is not the password of the registration. If you did not register, set a new one with "
    '"forgotten password".': (
        "Das ist nicht das Passwort der Registrierung. Wenn Sie sich nicht registriert haben, setzen "
        'Sie mit "Passwort vergessen" ein neues.',
        "Esta no es la contraseña del registro. Si no se registró, establezca una nueva con "
        '"contraseña olvidada".',
        "Ce n'est pas le mot de passe de l'inscription. Si vous ne vous êtes pas inscrit, "
        'définissez-en un nouveau avec "mot de passe oublié".',
    ),
    "Give the code that your authenticator app shows.": (
        "Bitte geben Sie den Code an, den Ihre Authenticator-App zeigt.",
        "Indique el código que muestra su aplicación de autenticación.",
        "Indiquez le code affiché par votre application d'authentification.",
    ),
    "The code is wrong or was used; wait for the next one.": (
        "Der Code ist falsch oder wurde schon benutzt; bitte warten Sie auf den nächsten.",
        "El código es incorrecto o ya se usó; espere al siguiente.",
        "Le code est faux ou a déjà servi ; attendez le suivant.",
    ),
    "Too many codes were tried; wait before the next one.": (
        "Es wurden zu viele Codes versucht; bitte warten Sie vor dem nächsten.",
        "Se han probado demasiados códigos; espere antes del siguiente.",
        "Trop de codes ont été essayés ; attendez avant le suivant.",
    ),
    "There is a second factor already; switch it off first.": (
        "Es gibt schon einen zweiten Faktor; bitte schalten Sie ihn zuerst aus.",
        "Ya hay un segundo factor; desactívelo primero.",
        "Il y a déjà un second facteur ; désactivez-le d'abord.",
    ),
    "There is no second factor to confirm; begin anew.": (
        "Es gibt keinen zweiten Faktor zu bestätigen; bitte beginnen Sie neu.",
        "No hay ningún segundo factor por confirmar; empiece de nuevo.",
        "Il n'y a aucun second facteur à confirmer ; recommencez.",
    ),
    "Please enter an email address.": (
        "Bitte geben Sie eine E-Mail-Adresse ein.",
        "Introduzca una dirección de correo electrónico.",
        "Veuillez saisir une adresse e-mail.",
    ),
    "An email address has at most {maximum} characters.": (
        "Eine E-Mail-Adresse hat höchstens {maximum} Zeichen.",
        "Una dirección de correo electrónico tiene como máximo {maximum} caracteres.",
        "Une adresse e-mail a au maximum {maximum} caractères.",
    ),
    "The part after the @-sign is not valid. It should have a period.": (
        "Der Teil nach dem @-Zeichen ist ungültig. Er sollte einen Punkt enthalten.",
        "La parte que sigue al signo @ no es válida. Debería tener un punto.",
        "La partie après le signe @ n'est pas valide. Elle devrait contenir un point.",
    ),
    "The email address is not valid.": (
        "Die E-Mail-Adresse ist ungültig.",
        "La dirección de correo electrónico no es válida.",
        "L'adresse e-mail n'est pas valide.",
    ),
    "The password must have at least {minimum} characters.": (
        "Das Passwort muss mindestens {minimum} Zeichen haben.",
        "La contraseña debe tener al menos {minimum} caracteres.",
        "Le mot de passe doit avoir au moins {minimum} caractères.",
    ),
    "The password must have at most {maximum} characters.": (
        "Das Passwort darf höchstens {maximum} Zeichen haben.",
        "La contraseña debe tener como máximo {maximum} caracteres.",
        "Le mot de passe doit avoir au maximum {maximum} caractères.",
    ),
    "This password is among the most common ones; please choose another.": (
        "Dieses Passwort gehört zu den häufigsten; bitte wählen Sie ein anderes.",
        "Esta contraseña es una de las más comunes; elija otra.",
        "Ce mot de passe est parmi les plus courants ; choisissez-en un autre.",
    ),
    "The password must not be your email address.": (
        "Das Passwort darf nicht Ihre E-Mail-Adresse sein.",
        "La contraseña no puede ser su dirección de correo electrónico.",
        "Le mot de passe ne doit pas être votre adresse e-mail.",
    ),
    "The password must not be your name.": (
        "Das Passwort darf nicht Ihr Name sein.",
        "La contraseña no puede ser su nombre.",
        "Le mot de passe ne doit pas être votre nom.",
    ),
    "This is your address already.": (
        "Das ist schon Ihre Adresse.",
        "Esa ya es su dirección.",
        "C'est déjà votre adresse.",
    ),
    "This account is suspended; ask an administrator.": (
        "Dieses Konto ist gesperrt; fragen Sie die Administration.",
        "Esta cuenta está suspendida; consulte a la administración.",
        "Ce compte est suspendu ; adressez-vous à l'administration.",
    ),
    "The password is wrong.": (
        "Das Passwort ist falsch.",
        "La contraseña no es correcta.",
        "Le mot de passe est incorrect.",
    ),
    "Too many tries; wait one second.": (
        "Zu viele Versuche; warten Sie eine Sekunde.",
        "Demasiados intentos; espere un segundo.",
        "Trop de tentatives ; attendez une seconde.",
    ),
    "Too many tries; wait {seconds} seconds.": (
        "Zu viele Versuche; warten Sie {seconds} Sekunden.",
        "Demasiados intentos; espere {seconds} segundos.",
        "Trop de tentatives ; attendez {seconds} secondes.",
    ),
    "The password is little more than a name of this service or its company; please choose "
    "another.": (
        "Das Passwort ist kaum mehr als ein Name dieses Dienstes oder seiner Firma; bitte wählen "
        "Sie ein anderes.",
        "La contraseña es poco más que un nombre de este servicio o de su empresa; elija otra.",
        "Le mot de passe n'est guère plus qu'un nom de ce service ou de son entreprise ; "
        "choisissez-en un autre.",
    ),
    "This password was stolen somewhere and is on lists that attackers try; please choose "
    "another.": (
        "Dieses Passwort wurde irgendwo gestohlen und steht auf Listen, die Angreifer "
        "ausprobieren; bitte wählen Sie ein anderes.",
        "Esta contraseña fue robada en algún sitio y está en listas que los atacantes prueban; "
        "elija otra.",
        "Ce mot de passe a été volé quelque part et figure sur des listes que les attaquants "
        "essaient ; choisissez-en un autre.",
    ),
    "Too many people are logging in now; wait one second.": (
        "Gerade melden sich zu viele Personen an; warten Sie eine Sekunde.",
        "Hay demasiadas personas iniciando sesión; espere un segundo.",
        "Trop de personnes se connectent en ce moment ; attendez une seconde.",
    ),
    "Too many people are logging in now; wait {seconds} seconds.": (
        "Gerade melden sich zu viele Personen an; warten Sie {seconds} Sekunden.",
        "Hay demasiadas personas iniciando sesión; espere {seconds} segundos.",
        "Trop de personnes se connectent en ce moment ; attendez {seconds} secondes.",
    ),
    "Log in again to do this: your login is too old for it.": (
        "Melden Sie sich dafür neu an: Ihre Anmeldung ist zu alt.",
        "Para hacer esto, vuelva a iniciar sesión: la actual es demasiado antigua.",
        "Pour cela, reconnectez-vous : votre connexion est trop ancienne.",
    ),
    "Set up a second factor first: your account needs one here.": (
        "Richten Sie erst einen zweiten Faktor ein: Ihr Konto braucht hier einen.",
        "Configure antes un segundo factor: aquí su cuenta lo necesita.",
        "Configurez d'abord un second facteur : votre compte en a besoin ici.",
    ),
    "Too many mails were asked for; wait one second.": (
        "Es wurden zu viele E-Mails angefordert; warten Sie eine Sekunde.",
        "Se han pedido demasiados correos; espere un segundo.",
        "Trop d'e-mails ont été demandés ; attendez une seconde.",
    ),
    "Too many mails were asked for; wait {seconds} seconds.": (
        "Es wurden zu viele E-Mails angefordert; warten Sie {seconds} Sekunden.",
        "Se han pedido demasiados correos; espere {seconds} segundos.",
        "Trop d'e-mails ont été demandés ; attendez {seconds} secondes.",
    ),
    "The password contains a character that cannot be stored.": (
        "Das Passwort enthält ein Zeichen, das nicht gespeichert werden kann.",
        "La contraseña contiene un carácter que no se puede guardar.",
        "Le mot de passe contient un caractère qui ne peut pas être enregistré.",
    ),
    "The address or the password is wrong.": (
        "Die Adresse oder das Passwort ist falsch.",
        "La dirección o la contraseña no es correcta.",
        "L'adresse ou le mot de passe est incorrect.",
    ),
    "Please verify your address first: open the link in the mail we sent.": (
        "Bitte bestätigen Sie zuerst Ihre Adresse: Öffnen Sie den Link in unserer E-Mail.",
        "Primero verifique su dirección: abra el enlace del correo que le enviamos.",
        "Veuillez d'abord confirmer votre adresse : ouvrez le lien de l'e-mail que nous avons "
        "envoyé.",
    ),
    "The token is invalid, used or expired.": (
        "Das Token ist ungültig, verbraucht oder abgelaufen.",
        "El token no es válido, ya se usó o ha caducado.",
        "Le jeton n'est pas valide, a été utilisé ou a expiré.",
    ),
    "The link is invalid or has expired; ask for a new one.": (
        "Der Link ist ungültig oder abgelaufen; fordern Sie einen neuen an.",
        "El enlace no es válido o ha caducado; pida uno nuevo.",
        "Le lien n'est pas valide ou a expiré ; demandez-en un nouveau.",
    ),
    "The refresh token is invalid, used or expired; log in again.": (
        "Das Refresh-Token ist ungültig, verbraucht oder abgelaufen; melden Sie sich neu an.",
        "El token de renovación no es válido, ya se usó o ha caducado; inicie sesión de nuevo.",
        "Le jeton de renouvellement n'est pas valide, a été utilisé ou a expiré ; reconnectez-vous.",
    ),
    "The access token is malformed or was not made by this server.": (
        "Das Zugriffstoken ist fehlerhaft oder nicht von diesem Server.",
        "El token de acceso está mal formado o no es de este servidor.",
        "Le jeton d'accès est mal formé ou ne vient pas de ce serveur.",
    ),
    "The access token has expired; refresh it.": (
        "Das Zugriffstoken ist abgelaufen; erneuern Sie es.",
        "El token de acceso ha caducado; renuévelo.",
        "Le jeton d'accès a expiré ; renouvelez-le.",
    ),
    # Conversations
    "The message is empty.": (
        "Die Nachricht ist leer.",
        "El mensaje está vacío.",
        "Le message est vide.",
    ),
    "The reply before this is still being written. Wait for its end, or stop it with stopReply.": (
        "Die Antwort davor wird noch geschrieben. Warten Sie auf ihr Ende, oder beenden Sie sie mit "
        "stopReply.",
        "La respuesta anterior aún se está escribiendo. Espere a que termine o deténgala con "
        "stopReply.",
        "La réponse précédente est encore en cours. Attendez sa fin, ou arrêtez-la avec stopReply.",
    ),
    "A parent needs a sessionId: it belongs to a session.": (
        "Zu einem parentId gehört ein sessionId: Er ist Teil einer Sitzung.",
        "Un parentId necesita un sessionId: pertenece a una sesión.",
        "Un parentId demande un sessionId : il appartient à une session.",
    ),
    "The parent must be a reply in the same session.": (
        "parentId muss eine Antwort in derselben Sitzung sein.",
        "parentId debe ser una respuesta de la misma sesión.",
        "parentId doit être une réponse de la même session.",
    ),
    "This key was used for another message. Take a new key for a new message.": (
        "Dieser Schlüssel gehört zu einer anderen Nachricht. Nehmen Sie für eine neue Nachricht "
        "einen neuen Schlüssel.",
        "Esta clave se usó para otro mensaje. Use una clave nueva para un mensaje nuevo.",
        "Cette clé a servi pour un autre message. Prenez une nouvelle clé pour un nouveau message.",
    ),
    "You are too fast. Please wait a moment and send it again.": (
        "Das ging zu schnell. Bitte warten Sie einen Moment und senden Sie es noch einmal.",
        "Va demasiado rápido. Espere un momento y envíelo de nuevo.",
        "Vous allez trop vite. Patientez un instant et envoyez-le à nouveau.",
    ),
    "Your tokens for today are used up. There are new ones after midnight, UTC.": (
        "Ihre Tokens für heute sind aufgebraucht. Neue gibt es nach Mitternacht (UTC).",
        "Ha agotado sus tokens de hoy. Habrá nuevos después de medianoche (UTC).",
        "Vos jetons du jour sont épuisés. Il y en aura de nouveaux après minuit (UTC).",
    ),
    "The server is about to restart; send it again.": (
        "Der Server startet gerade neu; senden Sie es noch einmal.",
        "El servidor está a punto de reiniciarse; envíelo de nuevo.",
        "Le serveur va redémarrer ; envoyez-le à nouveau.",
    ),
    "This stream was read too slowly, and events were lost; open it again and read the session "
    "anew.": (
        "Dieser Strom wurde zu langsam gelesen, und Ereignisse gingen verloren; öffnen Sie ihn neu, "
        "und lesen Sie die Sitzung noch einmal.",
        "Este flujo se leyó demasiado despacio y se perdieron eventos; ábralo de nuevo y vuelva a "
        "leer la sesión.",
        "Ce flux a été lu trop lentement et des événements ont été perdus ; ouvrez-le à nouveau et "
        "relisez la session.",
    ),
    "The message must be a reply in this session.": (
        "Die Nachricht muss eine Antwort in dieser Sitzung sein.",
        "El mensaje debe ser una respuesta de esta sesión.",
        "Le message doit être une réponse de cette session.",
    ),
    "A conversation has at most {maximum} public links; revoke one first.": (
        "Eine Unterhaltung hat höchstens {maximum} öffentliche Links; widerrufen Sie erst einen.",
        "Una conversación tiene como máximo {maximum} enlaces públicos; revoque uno antes.",
        "Une conversation a au maximum {maximum} liens publics ; révoquez-en un d'abord.",
    ),
    "You are in this conversation already.": (
        "Sie nehmen an dieser Unterhaltung schon teil.",
        "Ya participa en esta conversación.",
        "Vous participez déjà à cette conversation.",
    ),
    "A conversation has at most {maximum} people, with those who are invited.": (
        "Eine Unterhaltung hat höchstens {maximum} Personen, die eingeladenen mitgezählt.",
        "Una conversación tiene como máximo {maximum} personas, contando las invitadas.",
        "Une conversation a au maximum {maximum} personnes, avec celles qui sont invitées.",
    ),
    "This is the last owner. Make someone else an owner first, or delete the conversation.": (
        "Das ist die letzte Person, der die Unterhaltung gehört. Machen Sie erst jemand anderen zum "
        "Eigentümer, oder löschen Sie die Unterhaltung.",
        "Es la última persona propietaria. Haga antes propietaria a otra, o elimine la "
        "conversación.",
        "C'est le dernier propriétaire. Désignez d'abord quelqu'un d'autre, ou supprimez la "
        "conversation.",
    ),
    # Documents and answers
    "This question has an approved answer; change that one.": (
        "Diese Frage hat eine freigegebene Antwort; ändern Sie diese.",
        "Esta pregunta tiene una respuesta aprobada; cambie esa.",
        "Cette question a une réponse approuvée ; modifiez celle-ci.",
    ),
    "The document does not say this; quote it word for word.": (
        "Das steht nicht im Dokument; zitieren Sie es wörtlich.",
        "El documento no dice esto; cítelo literalmente.",
        "Le document ne dit pas cela ; citez-le mot pour mot.",
    ),
    "The reply cites documents that were deleted, or that not the same people may see. Name the one "
    "document that says the answer as documentId instead.": (
        "Die Antwort zitiert Dokumente, die gelöscht wurden oder die nicht dieselben Personen sehen "
        "dürfen. Nennen Sie stattdessen als documentId das eine Dokument, in dem die Antwort steht.",
        "La respuesta cita documentos que se han eliminado o que no pueden ver las mismas personas. "
        "Indique en su lugar como documentId el documento que contiene la respuesta.",
        "La réponse cite des documents supprimés, ou que les mêmes personnes ne peuvent pas voir. "
        "Indiquez plutôt comme documentId le document qui contient la réponse.",
    ),
    "This document has no text that could be quoted.": (
        "Dieses Dokument hat keinen Text, der zitiert werden könnte.",
        "Este documento no tiene texto que se pueda citar.",
        "Ce document n'a pas de texte qui puisse être cité.",
    ),
    "A quote needs the document that it stands in.": (
        "Zu einem Zitat gehört das Dokument, in dem es steht.",
        "Una cita necesita el documento en el que está.",
        "Une citation demande le document où elle se trouve.",
    ),
    # What does not exist
    "There is no such object.": (
        "Dieses Objekt gibt es nicht.",
        "Ese objeto no existe.",
        "Cet objet n'existe pas.",
    ),
    "There is no such session.": (
        "Diese Sitzung gibt es nicht.",
        "Esa sesión no existe.",
        "Cette session n'existe pas.",
    ),
    "A key needs at least one scope.": (
        "Ein Schlüssel braucht mindestens einen Bereich.",
        "Una clave necesita al menos un ámbito.",
        "Une clé a besoin d'au moins une portée.",
    ),
    "A key works for 1 to {maximum} days.": (
        "Ein Schlüssel gilt 1 bis {maximum} Tage.",
        "Una clave funciona de 1 a {maximum} días.",
        "Une clé est valable de 1 à {maximum} jours.",
    ),
    "There are {maximum} keys; revoke one first.": (
        "Es gibt {maximum} Schlüssel; widerrufen Sie erst einen.",
        "Hay {maximum} claves; revoque una antes.",
        "Il y a {maximum} clés ; révoquez-en une d'abord.",
    ),
    "There is no such API key.": (
        "Diesen API-Schlüssel gibt es nicht.",
        "Esa clave de API no existe.",
        "Cette clé d'API n'existe pas.",
    ),
    "There is no such login.": (
        "Diese Anmeldung gibt es nicht.",
        "Ese inicio de sesión no existe.",
        "Cette connexion n'existe pas.",
    ),
    "There is no such message.": (
        "Diese Nachricht gibt es nicht.",
        "Ese mensaje no existe.",
        "Ce message n'existe pas.",
    ),
    "There is no such reply.": (
        "Diese Antwort gibt es nicht.",
        "Esa respuesta no existe.",
        "Cette réponse n'existe pas.",
    ),
    "There is no such link.": (
        "Diesen Link gibt es nicht.",
        "Ese enlace no existe.",
        "Ce lien n'existe pas.",
    ),
    "There is no such invitation.": (
        "Diese Einladung gibt es nicht.",
        "Esa invitación no existe.",
        "Cette invitation n'existe pas.",
    ),
    "There is no such participant.": (
        "Diese Person nimmt nicht teil.",
        "Esa persona no participa.",
        "Cette personne ne participe pas.",
    ),
    "There is no such document.": (
        "Dieses Dokument gibt es nicht.",
        "Ese documento no existe.",
        "Ce document n'existe pas.",
    ),
    "There is no such approved answer.": (
        "Diese freigegebene Antwort gibt es nicht.",
        "Esa respuesta aprobada no existe.",
        "Cette réponse approuvée n'existe pas.",
    ),
    "There is no such group of questions.": (
        "Diese Gruppe von Fragen gibt es nicht.",
        "Ese grupo de preguntas no existe.",
        "Ce groupe de questions n'existe pas.",
    ),
}
