"""The security headers of every response, also of those that never reach the application.

No `Cross-Origin-Embedder-Policy`: a page loads nothing of other origins, which the content security policy ensures, and
uses nothing that needs an isolated process.
"""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import hdrs, web
from multidict import istr

from app import hosts
from app.web.app_keys import FRAME_ANCESTORS
from app.web.http import forwarded

NO_FRAMES = "frame-ancestors 'none'"
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        NO_FRAMES,
        "require-trusted-types-for 'script'",
        "trusted-types blocks",
    ]
)
# Features that the page never uses. Browsers complain about names that they do not know, so newer ones are missing.
OFF = (
    "accelerometer",
    "autoplay",
    "bluetooth",
    "camera",
    "display-capture",
    "encrypted-media",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "hid",
    "idle-detection",
    "local-fonts",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "publickey-credentials-get",
    "screen-wake-lock",
    "serial",
    "usb",
    "xr-spatial-tracking",
)
PERMISSIONS_POLICY = ", ".join(["clipboard-write=(self)", *(f"{feature}=()" for feature in OFF)])

# Names are `istr`: from a plain name each response would make one of its own, and keep it while it lasts.
HEADERS: dict[str, str] = {
    istr("Content-Security-Policy"): CONTENT_SECURITY_POLICY,
    istr("Permissions-Policy"): PERMISSIONS_POLICY,
    istr("X-Content-Type-Options"): "nosniff",
    istr("X-Frame-Options"): "DENY",  # as frame-ancestors, for what does not know that
    istr("Referrer-Policy"): "same-origin",
    istr("Cross-Origin-Resource-Policy"): "same-origin",
}
OPENER_POLICY = istr("Cross-Origin-Opener-Policy")
SERVER = "Tailrace"  # without a version; aiohttp's has Python's and its own


def harden(response: web.StreamResponse) -> None:
    """Add the headers that every response has."""
    response.headers[hdrs.SERVER] = SERVER
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


async def add(request: web.Request, response: web.StreamResponse) -> None:
    """Signal `on_response_prepare`, so that streamed responses get the headers too."""
    harden(response)
    if ancestors := request.app[FRAME_ANCESTORS]:
        _allow_frames(response, ancestors)
    # Browsers ignore this header, with a warning, from origins that they do not trust (HTML, section 7.1.3).
    if forwarded.is_https(request) or _is_loopback(request):
        response.headers.setdefault(OPENER_POLICY, "same-origin")


def _allow_frames(response: web.StreamResponse, ancestors: Collection[str]) -> None:
    """Let pages of these origins show this one in a frame."""
    policy = response.headers["Content-Security-Policy"]
    allowed = " ".join(["'self'", *ancestors])
    response.headers["Content-Security-Policy"] = policy.replace(NO_FRAMES, f"frame-ancestors {allowed}")
    response.headers.popall("X-Frame-Options", None)  # it knows no list


def _is_loopback(request: web.Request) -> bool:
    asked = forwarded.asked(request)
    return asked is not None and hosts.is_loopback(asked.host)
