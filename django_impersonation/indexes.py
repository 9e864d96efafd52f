"""An index for the beginning of a text in any case: what each database needs for Django's ``istartswith``."""

from __future__ import annotations

from typing import Any

from django.db import models


class PrefixIndex(models.Index):
    """Of one field. Django asks PostgreSQL for ``UPPER(field) LIKE …`` and others for ``field LIKE …``: SQLite answers
    that from an index only if it ignores case, and in MySQL and MariaDB the columns themselves do.
    """

    def create_sql(self, model: type[models.Model], schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        statement: Any = super().create_sql(model, schema_editor, using=using, **kwargs)
        field: Any = model._meta.get_field(self.fields[0])
        column = schema_editor.quote_name(field.column)
        columns = {"postgresql": f"UPPER({column}) text_pattern_ops", "sqlite": f"{column} COLLATE NOCASE"}
        vendor = schema_editor.connection.vendor
        if vendor in columns:
            statement.parts["columns"] = columns[vendor]
        return statement
