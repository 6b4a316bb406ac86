"""An OpenAI-compatible server for tests: `/v1/chat/completions`, `/v1/models`."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from tests.doubles.faults import Fault
from tests.doubles.server import ModelDouble


class OpenAIDouble(ModelDouble):
    """Speaks OpenAI's chat completions, with what vLLM and llama.cpp add to the list of models."""

    content_type = "text/event-stream"
    models: tuple[dict[str, Any], ...] = (
        {"id": "double", "object": "model", "created": 1, "owned_by": "tests", "max_model_len": 2048},
        {"id": "org/other", "object": "model", "created": 1, "owned_by": "tests", "meta": {"n_ctx": 1024}},
    )

    def begun(self, body: dict[str, Any]) -> int:
        """Go on as llama.cpp does, or as vLLM if it is asked to; others answer anew."""
        [owner] = [model["owned_by"] for model in self.models if model["id"] == body["model"]]
        asked = body.get("continue_final_message") and body.get("add_generation_prompt") is False
        return super().begun(body) if owner == "llamacpp" or (owner == "vllm" and asked) else 0

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v1/chat/completions", self.generate)
        router.add_get("/v1/models", self._models)

    def chunk(self, text: str, *, reasoning: bool = False, padding: int = 0) -> bytes:
        delta = {"reasoning_content": text} if reasoning else {"content": text}
        return self._event(choices=[{"index": 0, "delta": delta, "finish_reason": None}], padding=padding)

    def closing(self, tokens: int) -> bytes:
        usage = {"prompt_tokens": 12, "completion_tokens": tokens, "total_tokens": 12 + tokens}
        last = self._event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
        return last + self._event(choices=[], usage=usage) + b"data: [DONE]\n\n"

    def failure(self, fault: Fault) -> bytes:
        return b"data: " + self._error(fault) + b"\n\n"

    def refusal(self, fault: Fault) -> bytes:
        return self._error(fault)

    def _error(self, fault: Fault) -> bytes:
        error = {"message": fault.message or "Incorrect API key", "type": fault.code or "error", "code": None}
        return msgspec.json.encode({"error": error})

    def _event(self, *, padding: int = 0, **fields: Any) -> bytes:
        if padding:
            fields["padding"] = "x" * padding
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "double"}
        return b"data: " + msgspec.json.encode({**head, **fields}) + b"\n\n"

    async def _models(self, request: web.Request) -> web.Response:
        self.questions.append(request.path)
        if not self.allows(request):
            return web.json_response({"error": {"message": "Incorrect API key"}}, status=401)
        return web.json_response({"object": "list", "data": list(self.models)})


class GatewayDouble(OpenAIDouble):
    """3,000 models, as a gateway to all others has."""

    models = tuple(
        {"id": f"vendor-{number % 60}/model-{number}-instruct", "object": "model", "owned_by": "tests"}
        for number in range(3000)
    )
