"""A heap as relations: documented tables, SQL over them, and the same tables as Parquet files.

schema       what a table and a column are
facts        what several tables are made of, each made once
object_tables, reference_tables, holder_tables
             the tables; docs/sql.md is written from them
catalog      all of them by name
rows         what DuckDB answers as NumPy arrays
statements   where queries end in a text
database     DuckDB over the tables of one heap, read-only
exporting    the tables as a folder of Parquet files
"""

from __future__ import annotations
