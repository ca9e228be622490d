"""manage.py createsuperuser: Django's, noted in the audit as done by the account in the system."""

from django.contrib.auth.management.commands import createsuperuser

from sync.management.acting import as_os_user


class Command(createsuperuser.Command):
    handle = as_os_user(createsuperuser.Command.handle)
