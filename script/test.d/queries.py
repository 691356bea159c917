"""Runs the queries of docs/queries.md with DuckDB over a year of runs and compares with what went in.

queries.py DOCUMENT FOLDER ANSWERS: FOLDER holds the export, ANSWERS is the JSON that `bench year` printed.
"""

import json
import os
import re
import sys

import duckdb

document, folder, answers = sys.argv[1:]
with open(document, encoding="utf-8") as text:
    queries = re.findall(r"```sql\n(.*?)```", text.read(), re.S)
with open(answers, encoding="utf-8") as text:
    expected = json.load(text)
assert len(queries) == 3, f"{document} shows {len(queries)} queries"

os.chdir(folder)
weeks, stages, shaders = (duckdb.sql(query).fetchall() for query in queries)


def check(name, found, wanted):
    if found != wanted:
        sys.exit(f"{name}: DuckDB answers {found!r}, {wanted!r} went in")


check("weeks", [[us, passes] for _, _, us, passes in weeks], expected["weeks"])
check("stages", {stage: runs for stage, _, runs, _, _ in stages}, expected["stages"])
check("shader rows", len(shaders), expected["shader_rows"])
check("shader time", int(sum(us for _, _, us in shaders)), expected["shader_us"])
print(f"3 queries over {len(weeks)} weeks, {sum(expected['stages'].values())} divergences: as they went in")
