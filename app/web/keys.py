"""Typed keys: what handlers find in the application and in a request."""

from __future__ import annotations

from aiohttp import web

from app.streams.ports import Catalog
from app.streams.registry import Registry
from app.web.channels import Channel, Channels
from app.web.limits import Limits
from app.web.lists import Lists
from app.web.page_channel import PageChannel
from app.web.pulse import Pulse
from app.web.renderer import Renderer

REGISTRY = web.AppKey("registry", Registry)
CATALOG = web.AppKey("catalog", Catalog)
PULSE = web.AppKey("pulse", Pulse)
PAGE_PULSE = web.AppKey("page_pulse", Pulse)  # of the event streams of pages, which beat more often
LIMITS = web.AppKey("limits", Limits)
RENDERER = web.AppKey("renderer", Renderer)
CHANNELS = web.AppKey[dict[str, Channels[Channel]]]("channels", dict)  # by the type of their content
PAGE_CHANNELS = web.AppKey[Channels[PageChannel]]("page_channels", Channels)
LISTS = web.AppKey("lists", Lists)
BASE = web.AppKey("base", str)  # the path that the server is found under, such as `/chat`; "" at the root

SIGNS_IN = web.AppKey("signs_in", bool)  # whether people sign in here, and so can sign out

OWNER = web.RequestKey("owner", str)  # set by the access middleware
