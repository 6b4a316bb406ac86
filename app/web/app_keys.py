"""Typed keys of the application and of requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from app.chat.ports import Catalog
from app.chat.records import History
from app.chat.tracing import Tracer
from app.cluster.cluster import Cluster
from app.networks import Proxies
from app.streams.registry import Registry
from app.web.blocks.channel import BlockChannel
from app.web.blocks.renderer import Renderer
from app.web.events.channels import Channel, Channels
from app.web.events.heartbeat import HeartbeatTimer
from app.web.events.list_changes import ListChanges
from app.web.events.measures import ViewerMeasures
from app.web.events.open_streams import OpenStreams
from app.web.grants import Grant
from app.web.input.body_budget import BodyBudget
from app.web.limits import Limits
from app.web.nodes.signature import Passed
from app.web.output.turns import Turn, Turns

if TYPE_CHECKING:
    from app.web.nodes.nodes import Nodes

REGISTRY = web.AppKey("registry", Registry)
HISTORY = web.AppKey("history", History)
CATALOG = web.AppKey("catalog", Catalog)
PULSE = web.AppKey("pulse", HeartbeatTimer)
PAGE_PULSE = web.AppKey("page_pulse", HeartbeatTimer)  # for page event streams: a shorter interval
LIMITS = web.AppKey("limits", Limits)
RENDERER = web.AppKey("renderer", Renderer)
CHANNELS = web.AppKey[dict[str, Channels[Channel]]]("channels", dict)  # by media type
BLOCK_CHANNELS = web.AppKey[dict[str, Channels[BlockChannel]]]("block_channels", dict)  # by media type
PAGE_CHANNELS = web.AppKey[Channels[BlockChannel]]("page_channels", Channels)
VIEWERS = web.AppKey("viewers", ViewerMeasures)
OPEN_STREAMS = web.AppKey("open_streams", OpenStreams)
CLUSTER = web.AppKey[Cluster | None]("cluster")  # `None` for a single server
TRACER = web.AppKey[Tracer]("tracer")
LISTS = web.AppKey("lists", ListChanges)
PROXIES = web.AppKey("proxies", Proxies)  # whose forwarded headers are believed
BODIES = web.AppKey("bodies", BodyBudget)
TURNS = web.AppKey("turns", Turns)
FRAME_ANCESTORS = web.AppKey[tuple[str, ...]](
    "frame_ancestors"
)  # origins whose pages may show ours in a frame
BASE = web.AppKey("base", str)  # the path that the server is mounted under, such as `/chat`; "" at the root

NODES: web.AppKey[Nodes] = web.AppKey("nodes")  # of a node of a cluster only

SIGNS_IN = web.AppKey("signs_in", bool)  # whether a login is required, so that pages offer to sign out

TURN = web.RequestKey("turn", Turn)  # of an owner with limits

# Set by the access middleware.
GRANT = web.RequestKey("grant", Grant)
OWNER = web.RequestKey("owner", str)  # of the grant

# Of a request that another node passed on, and of one that this node may pass on.
PASSED = web.RequestKey("passed", Passed)  # what the other node said and signed
BODY = web.RequestKey("body", bytes)  # read already; the connection has no more of it
UNFINISHED = web.RequestKey(
    "unfinished", tuple[str, ...]
)  # the streams that it ends, as they were when it came
KEY = web.RequestKey("key", str)  # stands for an Idempotency-Key that the client did not send
