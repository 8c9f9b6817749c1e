"""What people are told, in English, German, Spanish and French.

An English sentence is its own key, as with gettext: the code says it in English where it arises,
and it is translated where it leaves for a person whose language is known. A sentence with places
is made by `fill` and keeps what it was made of; one with a number by `counted`. A test reads the code and fails for a sentence that
is not in the catalogue.
"""

from texts.catalogue import ENGLISH, Language, counted, fill, translate
from texts.negotiation import preferred_language

__all__ = ["ENGLISH", "Language", "counted", "fill", "preferred_language", "translate"]
