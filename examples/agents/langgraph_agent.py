"""An agent of LangGraph, a graph of a model and its tools, on any OpenAI-compatible server.

OPENAI_BASE_URL=… OPENAI_MODEL=… TAILRACE_AGENTS=graph=langgraph_agent:answer tailrace serve
"""

import os
import ssl
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from datetime import datetime
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from openai import APIError, DefaultAsyncHttpxClient
from pydantic import SecretStr

from app.agent import Chat, Failed, Note, Piece, Usage, described

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5-mini")
KEY = SecretStr(os.environ.get("OPENAI_API_KEY", "none"))  # local servers need none, but the client does
# Loaded once: for each answer it would take longer than all else here, and everybody would wait meanwhile.
TLS = ssl.create_default_context()


@tool
def now() -> str:
    """Return the date and the time of day."""
    return f"{datetime.now().astimezone():%A, %d %B %Y, %H:%M %Z}"


async def think(state: MessagesState, config: RunnableConfig) -> MessagesState:
    """Ask the model, which answers or calls a tool."""
    model = config["configurable"]["model"].bind_tools([now])
    return {"messages": [await model.ainvoke(state["messages"], config)]}


builder = StateGraph(MessagesState)
builder.add_node("think", think)
builder.add_node("tools", ToolNode([now]))
builder.add_edge(START, "think")
builder.add_conditional_edges("think", tools_condition)
builder.add_edge("tools", "think")
graph = builder.compile()


@described(images=False)
async def answer(chat: Chat) -> AsyncGenerator[Piece, None]:
    """Yield the answer as the model writes it. The client reads `OPENAI_BASE_URL`."""
    options = {name: value for name, value in asdict(chat.options).items() if value is not None}
    # Both are closed however the answer ends: a stop closes the connection to the model.
    async with DefaultAsyncHttpxClient(verify=TLS, headers=chat.headers) as http:
        model = ChatOpenAI(model=MODEL, api_key=KEY, http_async_client=http, stream_usage=True, **options)
        config: RunnableConfig = {"configurable": {"model": model}}
        asked: Any = {"messages": [(each.role, each.content) for each in chat.messages]}
        pieces: Any = graph.astream(asked, config, stream_mode="messages")
        try:
            async with aclosing(pieces):
                async for piece, _ in pieces:
                    if not isinstance(piece, AIMessageChunk):
                        continue  # what a tool returned
                    yield piece.text
                    for call in piece.tool_call_chunks:
                        if call["name"]:
                            yield Note(f"Using {call['name']}…")
                    if used := piece.usage_metadata:
                        yield Usage(used["input_tokens"], used["output_tokens"])
        except APIError as error:
            raise Failed("The model server failed. Try again in a minute.") from error
