"""Single sign-on by OpenID Connect: who signs in at a provider need not have a password here."""
