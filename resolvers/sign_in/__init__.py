"""Sign-in by other providers, with OpenID Connect."""
