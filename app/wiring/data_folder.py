"""The folder for what is kept, and the secret in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.chat.ports import Logger
from app.private import private_folder
from app.secret import UnsafeSecret, kept_secret
from app.wiring.errors import StartupError

SECRET_FILE = "secret.key"


def secret(data_dir: Path, logger: Logger) -> bytes:
    """Return the secret that signs cookies; the first start creates it. Raises `StartupError`."""
    path = data_dir / SECRET_FILE
    with data_folder(data_dir, logger):
        try:
            return kept_secret(path)
        except UnsafeSecret as error:
            raise StartupError(str(error)) from error


@contextmanager
def data_folder(data_dir: Path, logger: Logger) -> Iterator[None]:
    """Create the folder unless it exists. Raises `StartupError`, also for an `OSError` of the block."""
    try:
        if not private_folder(data_dir):
            logger.warning("data_folder_open", path=str(data_dir), advice=f"chmod 700 {data_dir}")
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        advice = "Set TAILRACE_DATA_DIR to a writable folder."
        raise StartupError(f"cannot use the data folder {data_dir}: {reason}. {advice}") from error
