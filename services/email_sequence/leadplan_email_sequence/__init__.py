"""The tool ``EMAIL_SEQUENCE_SETUP``: puts saved leads into a Hunter e-mail sequence."""
