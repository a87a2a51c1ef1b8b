"""A conversation with an index's tools by the Model Context Protocol's own client: over HTTP, or with a program.

python examples/mcp_conversation.py http://127.0.0.1:8000/mcp "How far is the army from Mosul?"
python examples/mcp_conversation.py "qa mcp --name seeds" "How far is the army from Mosul?"
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from typing import Any

from mcp import Client, StdioServerParameters

SHOWN = 220


async def call(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Call a tool, print both sides, and return what it answers; nothing where it refuses."""
    print("→", tool, json.dumps(arguments, ensure_ascii=False))
    result = await client.call_tool(tool, arguments)
    text = " ".join(result.content[0].text.split())
    error = "is_error: " if result.is_error else ""
    print(f"← {error}{text[:SHOWN]}{' …' if len(text) > SHOWN else ''}")
    return result.structured_content or {}


async def converse(target: str, question: str) -> None:
    """List the tools, ask, read the first passage in its document, and ask something that is refused."""
    if target.startswith("http"):
        server: Any = target
    else:
        command, *arguments = shlex.split(target)
        server = StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
    async with Client(server) as client:
        print("→ tools/list")
        print("←", ", ".join(tool.name for tool in (await client.list_tools()).tools))
        found = await call(client, "ask", {"question": question, "top_k": 1})
        (passage,) = found["passages"]
        part = {"start": passage["start"], "characters": passage["end"] - passage["start"]}
        read = await call(client, "read_document", {"id": passage["document"]["id"], **part})
        assert read["text"] == passage["text"]
        await call(client, "ask", {"question": " "})


if __name__ == "__main__":
    asyncio.run(converse(sys.argv[1], sys.argv[2]))
