"""Preferences: a form whose answer is cookies, and pages that show them at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.stage import Stage


async def chosen(stage: Stage, **form: str) -> dict[str, str]:
    """Send the form; return the cookies that the browser has then."""
    async with stage.http.post("/preferences", data=form, allow_redirects=False) as response:
        assert response.status == 303
        return {name: cookie.value for name, cookie in response.cookies.items() if cookie.value}


async def root(stage: Stage, cookies: dict[str, str]) -> str:
    """Return the tag that begins a page."""
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    async with stage.http.get("/", headers={"Cookie": header}) as response:
        page = await response.text()
    return page[page.index("<html") : page.index("<head>")]


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_a_theme_is_on_the_page_from_the_first_byte(stage: Stage, theme: str) -> None:
    """So nothing flashes."""
    cookies = await chosen(stage, theme=theme, single_keys="on")
    assert cookies == {"tailrace_theme": theme}
    assert f'data-theme="{theme}"' in await root(stage, cookies)


async def test_the_system_decides_unless_one_chooses(stage: Stage) -> None:
    """Choosing the system takes the cookie away."""
    assert await chosen(stage, theme="system", single_keys="on") == {}
    assert "data-theme" not in await root(stage, {})


async def test_a_language_is_chosen(stage: Stage) -> None:
    """Whatever the browser says."""
    cookies = await chosen(stage, language="de", single_keys="on")
    assert 'lang="de"' in await root(stage, cookies)


async def test_single_keys_can_be_switched_off(stage: Stage) -> None:
    """A missing field is a box that is not ticked."""
    assert 'data-single-keys="off"' in await root(stage, await chosen(stage, theme="system"))


@pytest.mark.parametrize(
    "form", [{"theme": "neon"}, {"theme": '"><script>'}, {"language": "tlh"}, {"language": "../de"}]
)
async def test_a_choice_that_there_is_not_counts_as_none(stage: Stage, form: dict[str, Any]) -> None:
    """No cookie has a value that the page does not know."""
    assert await chosen(stage, single_keys="on", **form) == {}


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/sessions/s1?q=x", "/sessions/s1?q=x"),
        ("/sessions/é?q=100%25 ü#x", "/sessions/%C3%A9?q=100%25%20%C3%BC#x"),
        ("//evil", "/"),
        ("", "/"),
    ],
)
async def test_the_reader_comes_back_to_the_page(stage: Stage, target: str, location: str) -> None:
    """To a page of this server, and to no other, in ASCII, as a header must be."""
    async with stage.http.post("/preferences", data={"next": target}, allow_redirects=False) as response:
        assert response.headers["Location"] == location
