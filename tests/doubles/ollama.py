"""An Ollama server for tests: `/api/chat`, `/api/tags`, `/api/show`, `/api/version`."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from tests.doubles.faults import Fault
from tests.doubles.server import ModelDouble

CREATED = "2025-01-01T00:00:00Z"


class OllamaDouble(ModelDouble):
    """Speaks Ollama's API."""

    content_type = "application/x-ndjson"
    models = ("double:latest", "other:1b")
    context: int | None = 4096  # that the models were trained for
    parameters = ""  # of the models' files

    def __init__(self, fault: str = "none", *, api_key: str | None = None) -> None:
        super().__init__(fault, api_key=api_key)
        self.capabilities: dict[str, list[str]] = {}  # by model; they can chat where nothing is said

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/api/chat", self.generate)
        router.add_get("/api/tags", self._tags)
        router.add_post("/api/show", self._show)
        router.add_get("/api/version", self._version)

    def chunk(self, text: str, *, reasoning: bool = False, padding: int = 0) -> bytes:
        message = {"role": "assistant", "content": "" if reasoning else text}
        if reasoning:
            message["thinking"] = text
        return self._line(message=message, done=False, padding=padding)

    def closing(self, tokens: int) -> bytes:
        return self._line(
            message={"role": "assistant", "content": ""},
            done=True,
            done_reason="stop",
            total_duration=1000,
            load_duration=10,
            prompt_eval_count=12,
            prompt_eval_duration=100,
            eval_count=tokens,
            eval_duration=900,
        )

    def failure(self, fault: Fault) -> bytes:
        return msgspec.json.encode({"error": fault.message}) + b"\n"

    def refusal(self, fault: Fault) -> bytes:
        return msgspec.json.encode({"error": fault.message or "unauthorized"})

    def _line(self, *, padding: int = 0, **fields: Any) -> bytes:
        if padding:
            fields["padding"] = "x" * padding
        return msgspec.json.encode({"model": self.models[0], "created_at": CREATED, **fields}) + b"\n"

    async def _tags(self, request: web.Request) -> web.Response:
        self.questions.append(request.path)
        entries = [
            {"name": name, "model": name, "modified_at": CREATED, "size": 1, "digest": f"sha-{name}"}
            for name in self.models
        ]
        return web.json_response({"models": entries})

    async def _show(self, request: web.Request) -> web.Response:
        self.questions.append(request.path)
        name = (await request.json())["model"]
        if name not in self.models:
            return web.json_response({"error": f"model '{name}' not found"}, status=404)
        shown: dict[str, Any] = {
            "capabilities": self.capabilities.get(name, ["completion"]),
            "parameters": self.parameters,
            "details": {"family": "double"},
            "model_info": {"general.architecture": "double"},
            "modified_at": CREATED,
        }
        if self.context is not None:
            shown["model_info"]["double.context_length"] = self.context
        return web.json_response(shown)

    async def _version(self, request: web.Request) -> web.Response:
        self.questions.append(request.path)
        return web.json_response({"version": "0.0.0-double"})
