"""manage.py changepassword: Django's, noted in the audit as done by the account in the system."""

from django.contrib.auth.management.commands import changepassword

from sync.management.acting import as_os_user


class Command(changepassword.Command):
    handle = as_os_user(changepassword.Command.handle)
