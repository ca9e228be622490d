"""How Django's own pages, such as the admin, write times: sortable, as the console does."""

DATETIME_FORMAT = "Y-m-d H:i:s"
