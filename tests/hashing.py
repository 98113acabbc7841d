from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickHasher(PBKDF2PasswordHasher):
    """The real algorithm, so that the real web server knows the passwords, but hardly any work."""

    iterations = 1
