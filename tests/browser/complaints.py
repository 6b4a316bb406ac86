"""What a browser complained about while it showed the page."""

from __future__ import annotations

from playwright.async_api import BrowserContext, ConsoleMessage

# Said by Chromium about any answer of 400 and above. The tests that provoke one look at what the page says.
EXPECTED = "Failed to load resource"
CSP = "CSP: "

WATCH_CSP = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


class Complaints(list[str]):
    """Console errors, exceptions, and violations of the content security policy."""

    async def watch(self, context: BrowserContext) -> None:
        """Collect from every page that `context` will open."""
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self.append(str(error.error)))
        await context.add_init_script(WATCH_CSP)

    @property
    def violations(self) -> list[str]:
        """Those about the content security policy."""
        return [line for line in self if line.startswith(CSP) or "Content Security Policy" in line]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(EXPECTED):
            self.append(message.text)
