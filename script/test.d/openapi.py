"""The part of the forge's OpenAPI description that greenloop asks, in the words that the forge takes.

Usage: openapi.py DESCRIPTION TARGET
"""

import json
import sys

ASKED = (
    "/app/installations/{installation_id}/access_tokens",
    "/repos/{owner}/{repo}/actions/artifacts",
    "/repos/{owner}/{repo}/actions/jobs",
    "/repos/{owner}/{repo}/actions/runners",
    "/repos/{owner}/{repo}/actions/runs",
    "/repos/{owner}/{repo}/actions/workflows/{workflow_id}/runs",
)
# The media type that the documentation of the REST API recommends; the description lists the plain one only.
PLAIN, RECOMMENDED = "application/json", "application/vnd.github+json"


def is_asked(path):
    return any(path == asked or path.startswith(asked + "/") for asked in ASKED)


def operations(description):
    for path in description["paths"].values():
        yield from (found for found in path.values() if isinstance(found, dict))


def main(source, target):
    with open(source, encoding="utf-8") as file:
        description = json.load(file)
    description["paths"] = {
        path: found for path, found in description["paths"].items() if is_asked(path)
    }
    if len(description["paths"]) < len(ASKED):
        sys.exit(f"{source} lacks paths that greenloop asks; look what became of them")
    for operation in operations(description):
        for response in operation.get("responses", {}).values():
            content = response.get("content", {})
            if PLAIN in content:
                content[RECOMMENDED] = content[PLAIN]
            # The example of a next page is on the forge's own host, where a validator has no business.
            response.get("headers", {}).pop("Link", None)
    # `created` takes ranges such as `<=2026-01-02T03:04:05Z` ("Understanding the search syntax"); the
    # description calls it a single time.
    created = description["components"]["parameters"]["created"]["schema"]
    created.pop("format", None)
    with open(target, "w", encoding="utf-8") as file:
        json.dump(description, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
