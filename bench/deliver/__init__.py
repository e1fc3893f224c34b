"""`python -m bench deliver`: what webhooks and streams of alerts take. A figure a file."""
