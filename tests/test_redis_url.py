"""The addresses of Redis: what each part of one means, and what is said of one that is wrong."""

from __future__ import annotations

import pytest

from app.redis_url import Host, RedisUrl


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://cache", RedisUrl("server", (Host("cache", 6379),), False)),
        (
            "redis://:a%2Fb@10.0.0.1:7000/2",
            RedisUrl("server", (Host("10.0.0.1", 7000),), False, "", "a/b", 2),
        ),
        (
            "rediss://me:secret@cache:6380/",
            RedisUrl("server", (Host("cache", 6380),), True, "me", "secret"),
        ),
        ("redis://cache:6379?db=3", RedisUrl("server", (Host("cache", 6379),), False, database=3)),
        ("redis://cache/3?db=3", RedisUrl("server", (Host("cache", 6379),), False, database=3)),
        ("rediss://cache/?db=0", RedisUrl("server", (Host("cache", 6379),), True)),
        ("redis://cache/?", RedisUrl("server", (Host("cache", 6379),), False)),
        ("redis://[::1]:6379/0", RedisUrl("server", (Host("::1", 6379),), False)),
        (
            "redis+sentinel://s1,S2:5000/mymaster",
            RedisUrl("sentinel", (Host("s1", 26379), Host("s2", 5000)), False, primary="mymaster"),
        ),
        (
            "rediss+sentinel://me:sec%40ret@[::1]:26379,s2/chat/3?sentinel_password=x%26y&sentinel_ssl=true",
            RedisUrl(
                "sentinel",
                (Host("::1", 26379), Host("s2", 26379)),
                True,
                "me",
                "sec@ret",
                3,
                primary="chat",
                sentinel_tls=True,
                sentinel_password="x&y",
            ),
        ),
        (
            "rediss+cluster://:sec@c1:7000,c2/",
            RedisUrl("cluster", (Host("c1", 7000), Host("c2", 6379)), True, "", "sec"),
        ),
        ("redis+cluster://c1/0", RedisUrl("cluster", (Host("c1", 6379),), False)),
        (
            "redis+sentinel://s1/m?sentinel_username=u&sentinel_password=&sentinel_ssl=0",
            RedisUrl("sentinel", (Host("s1", 26379),), False, primary="m", sentinel_user="u"),
        ),
    ],
)
def test_an_address_is_read(url: str, said: RedisUrl) -> None:
    """As the documentation of Redis and of its clients writes it."""
    assert RedisUrl.parse(url) == said
    assert "sec" not in repr(said)


@pytest.mark.parametrize(
    "url",
    [
        *("", "cache:6379", "http://cache", "redis://", "redis://cache:x", "redis://cache:70000"),
        *("redis://cache?db=", "redis://cache?db=x", "redis://cache?db=-1"),
        *("redis://cache/x", "redis://a,b", "redis+sentinel://", "redis+sentinel://a,,b/m"),
        *(
            "redis+cluster://",
            "redis+other://a",
            "redis+sentinel://[::1/m",
            "redis+sentinel://a/m/x",
            "redis+sentinel://a/m/1/2",
        ),
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """With an example of each kind."""
    with pytest.raises(ValueError, match=r"redis://host:6379/0.*redis\+sentinel://.*redis\+cluster://"):
        RedisUrl.parse(url)


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("redis+sentinel://s1:26379", "the name that the sentinels have for the primary is missing"),
        ("redis+cluster://c1/2", "a Redis Cluster has one database"),
        (
            "redis+sentinel://s1/m?sentinel_pass=x",
            "parameters sentinel_username.*leave out what else follows",
        ),
        ("redis+sentinel://s1/m?sentinel_ssl=perhaps", "takes sentinel_ssl=true or sentinel_ssl=false"),
        ("redis+sentinel://s1/m?ssl_ca_certs=x", "leave out ssl_ca_certs.*SSL_CERT_FILE"),
        ("redis+sentinel://s1/m?db=2", "leave out db"),
        ("redis://cache/1?db=2", "names two databases"),
        ("redis://cache?db=1&db=2", "names two databases"),
        ("redis://cache?db=1&socket_timeout=secret", "option db alone, so leave out socket_timeout"),
        ("rediss://cache?ssl_ca_certs=/secret", "leave out ssl_ca_certs.*SSL_CERT_FILE"),
        ("redis://cache?password=secret", "leave out password"),
        ("redis+cluster://c1?db=0", "takes no option, so leave out db"),
        ("rediss+cluster://c1/0?ssl_ca_certs=/secret", "leave out ssl_ca_certs.*SSL_CERT_FILE"),
    ],
)
def test_what_is_missing_in_an_address_is_said(url: str, advice: str) -> None:
    """The sentence says what to write, and holds nothing of what was written."""
    with pytest.raises(ValueError, match=advice) as refused:
        RedisUrl.parse(url)
    assert "sentinel_pass=" not in str(refused.value)
    assert "secret" not in str(refused.value)
