"""The Python SDK's client against the product: over stdio and HTTP, in both eras of the protocol.

It lists and calls tools (the SDK checks every answer against its output schema), is refused, reads
resources, gets prompts, and tries to write on a read-only connection.

usage: client.py GREENLOOP REPO CONFIG URL TOKEN_FILE
"""

import asyncio
import json
import sys
from pathlib import Path

import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

GREENLOOP, REPO, CONFIG, URL, TOKEN_FILE = sys.argv[1:6]
TOKEN = Path(TOKEN_FILE).read_text().strip()
WRITES = {
    "open_loop", "end_turn", "pull_full_log", "open_hypothesis", "record_observation",
    "falsify_hypothesis", "propose_claim", "run_gates", "withdraw_claim", "request_push",
    "verify_claim",
}


def stdio(*more):
    arguments = ["mcp", "--repo", REPO, "--config", CONFIG, *more]
    return StdioServerParameters(command=GREENLOOP, args=arguments)


def answer(result):
    assert not result.is_error, result
    assert result.structured_content is not None, result
    return result.structured_content


async def works(client, key):
    tools = (await client.list_tools()).tools
    names = {tool.name for tool in tools}
    assert len(names) == len(tools) and WRITES <= names, sorted(names)
    for tool in tools:
        hints = tool.annotations
        assert None not in (
            hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint,
        ), tool.name
        assert tool.output_schema and len(tool.description) <= 2000, tool.name
    status = answer(await client.call_tool("loop_status", {}))
    assert status["phase"] == "idle", status
    run = answer(await client.call_tool("list_runs", {}))["runs"][0]
    log_id = run["jobs"][0]["log"]["log_id"]
    answer(await client.call_tool("pull_full_log", {"run_id": run["run_id"]}))
    page = answer(await client.call_tool("read_log", {"log_id": log_id}))
    assert page["offset"] == 0 and page["untrusted"], page
    for name, arguments in [
        ("search_log", {"log_id": log_id, "pattern": "test "}),
        ("extract_markers", {"log_id": log_id}),
        ("classify_run", {"run_id": run["run_id"]}),
        ("compare_runs", {"base": run["run_id"], "head": run["run_id"]}),
        ("list_hypotheses", {}),
        ("list_invariants", {}),
    ]:
        answer(await client.call_tool(name, arguments))
    opened = answer(await client.call_tool(
        "open_loop", {"goal": "be met by a stranger", "scopes": [run["scope"]], "idempotency_key": key}
    ))
    assert opened["refused"] == [] and opened["loop_id"], opened
    refused = answer(await client.call_tool(
        "end_turn", {"loop_id": opened["loop_id"], "end": {"how": "green"}}
    ))
    assert refused["refused"] and not refused["accepted"], refused
    wrong = await client.call_tool("read_log", {"log_id": log_id, "lines": 3})
    assert wrong.is_error and "bad_arguments" in wrong.content[0].text, wrong
    uris = {str(resource.uri) for resource in (await client.list_resources()).resources}
    assert {"invariants://current", f"run://{run['run_id']}"} <= uris, uris
    for uri in sorted(uris):
        if not uri.startswith("audit:"):
            read = await client.read_resource(uri)
            assert read.contents[0].text, uri
    assert len((await client.list_resource_templates()).resource_templates) == 5
    prompts = {prompt.name for prompt in (await client.list_prompts()).prompts}
    assert prompts == {"gpu_green", "triage_run", "write_claim", "resume_loop", "postmortem"}, prompts
    got = await client.get_prompt("triage_run", {"run_id": run["run_id"]})
    assert run["run_id"] in got.messages[0].content.text


async def reads_only(client):
    names = {tool.name for tool in (await client.list_tools()).tools}
    assert names and not names & WRITES, sorted(names & WRITES)
    for name in sorted(WRITES):
        refused = await client.call_tool(name, {})
        assert refused.is_error and "read-only" in refused.content[0].text, refused


async def main():
    for mode in ("legacy", "2026-07-28", "auto"):
        async with Client(stdio(), mode=mode) as client:
            await works(client, f"stdio {mode}")
        async with Client(stdio("--read-only"), mode=mode) as client:
            await reads_only(client)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            async with Client(streamable_http_client(URL, http_client=http), mode=mode) as client:
                await works(client, f"http {mode}")
        print(json.dumps({"client": "python sdk", "mode": mode, "ok": True}), flush=True)
    async with httpx2.AsyncClient(timeout=60) as http:
        try:
            async with Client(streamable_http_client(URL, http_client=http)) as client:
                await client.list_tools()
        except Exception as error:  # the SDK wraps what HTTP says in groups of its own
            print(json.dumps({"client": "python sdk", "without a token": type(error).__name__, "ok": True}))
        else:
            raise AssertionError("a client without a token was served")


asyncio.run(main())
