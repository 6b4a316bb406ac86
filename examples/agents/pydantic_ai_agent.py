"""An agent of Pydantic AI, with one tool, on any OpenAI-compatible server.

OPENAI_BASE_URL=… OPENAI_MODEL=… TAILRACE_AGENTS=pydantic=pydantic_ai_agent:answer tailrace serve
"""

import os
import ssl
from collections.abc import AsyncGenerator
from dataclasses import asdict
from datetime import datetime
from typing import cast

from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from pydantic_ai import (
    Agent,
    FunctionToolCallEvent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelSettings,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
)
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

from app.agent import Chat, Failed, Message, Note, Piece, Reasoning, Usage, described

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5-mini")
KEY = os.environ.get("OPENAI_API_KEY", "none")  # local servers need none, but the client does
# Loaded once: for each answer it would take longer than all else here, and everybody would wait meanwhile.
TLS = ssl.create_default_context()

agent = Agent()


@agent.tool_plain
def now() -> str:
    """Return the date and the time of day."""
    return f"{datetime.now().astimezone():%A, %d %B %Y, %H:%M %Z}"


@described(images=False)
async def answer(chat: Chat) -> AsyncGenerator[Piece, None]:
    """Yield the answer as the model writes it. The client reads `OPENAI_BASE_URL`."""
    options = {name: value for name, value in asdict(chat.options).items() if value is not None}
    if "stop" in options:
        options["stop_sequences"] = options.pop("stop")
    # Both are closed however the answer ends: a stop closes the connection to the model.
    async with DefaultAsyncHttpxClient(verify=TLS, headers=chat.headers) as http:
        client = AsyncOpenAI(api_key=KEY, http_client=http)
        run = agent.run_stream_events(
            chat.prompt,
            message_history=[_message(each) for each in chat.messages[:-1] if each.role != "system"],
            instructions=[each.content for each in chat.messages if each.role == "system"],
            model=OpenAIChatModel(MODEL, provider=OpenAICompatibleProvider("server", openai_client=client)),
            model_settings=cast("ModelSettings", options),
        )
        try:
            async with run as events:
                async for event in events:
                    match event:
                        case PartStartEvent(part=TextPart(content=text)):
                            yield text
                        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                            yield text
                        case PartStartEvent(part=ThinkingPart(content=text)):
                            yield Reasoning(text)
                        case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=str(text))):
                            yield Reasoning(text)
                        case FunctionToolCallEvent(part=call):
                            yield Note(f"Using {call.tool_name}…")
                yield Usage(events.usage.input_tokens, events.usage.output_tokens)
        except ModelAPIError as error:
            raise Failed("The model server failed. Try again in a minute.") from error


def _message(message: Message) -> ModelMessage:
    if message.role == "assistant":
        return ModelResponse([TextPart(message.content)])
    return ModelRequest.user_text_prompt(message.content)
