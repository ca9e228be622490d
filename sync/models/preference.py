"""How a user wants the console to look and to be used."""

from django.conf import settings
from django.db import models


class Preference(models.Model):
    class Theme(models.TextChoices):
        SYSTEM = "", "System"
        LIGHT = "light", "Light"
        DARK = "dark", "Dark"

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="preference")
    theme = models.CharField(max_length=8, choices=Theme, default=Theme.SYSTEM, blank=True)
    shortcuts = models.BooleanField("keyboard shortcuts", default=True)

    def __str__(self) -> str:
        return f"preferences of {self.user}"
