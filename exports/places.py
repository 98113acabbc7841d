"""Where files are put and read back from: a folder, or a bucket of S3-compatible storage.

Both say in words what went wrong, for whoever has to put it right. `key` is a path with slashes,
below the folder or the bucket's prefix.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol
from urllib.parse import parse_qs, urlsplit

from exports import endpoints

CONNECT_SECONDS = 5
READ_SECONDS = 60
# What is read back waits in a temporary file past this size.
BYTES_IN_MEMORY = 4 * 1024 * 1024


class PlaceError(Exception):
    """A file could not be put or read; the message says why, without any secret."""


class Place(Protocol):
    def put(self, key: str, path: Path) -> None:
        """Durable and whole when it returns; what was there under the key is replaced."""

    def open(self, key: str) -> IO[bytes]: ...
    def delete(self, key: str) -> None: ...


@dataclass(frozen=True)
class Folder:
    root: Path

    def put(self, key: str, path: Path) -> None:
        target = self.path(key)
        part = target.with_name(f".{target.name}.part")
        with self.in_words():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                copy_durably(path, part)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
            sync_directory(target.parent)

    def open(self, key: str) -> IO[bytes]:
        with self.in_words():
            return self.path(key).open("rb")

    def delete(self, key: str) -> None:
        with self.in_words():
            self.path(key).unlink(missing_ok=True)

    def path(self, key: str) -> Path:
        """Raises PlaceError for a key that leads out of the folder, also by a link."""
        root = self.root.resolve()
        path = (root / key).resolve()
        if not path.is_relative_to(root) or path == root:
            raise PlaceError(f"{key!r} is not below the folder.")
        return path

    @contextlib.contextmanager
    def in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise PlaceError(f"{error.strerror or error} ({self.root})") from error


def copy_durably(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, 1024 * 1024)
        writer.flush()
        os.fsync(writer.fileno())


def sync_directory(path: Path) -> None:
    """So that the name is as durable as what it names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Bucket:
    """Without keys of its own the process's are used, as boto3 finds them in its environment.

    A guarded one is not followed into the private network.
    """

    name: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = None
    guarded: bool = False

    def put(self, key: str, path: Path) -> None:
        from django.core.files import File

        with self.in_words(), path.open("rb") as reader:
            self.storage.save(checked(key), File(reader))

    def open(self, key: str) -> IO[bytes]:
        with self.in_words():
            found = self.storage.open(checked(key), "rb")
            found.seek(0)  # fetches it, so that what goes wrong goes wrong here
            return found

    def delete(self, key: str) -> None:
        with self.in_words():
            self.storage.delete(checked(key))

    @cached_property
    def storage(self) -> Any:
        from boto3.s3.transfer import TransferConfig
        from botocore.config import Config
        from storages.backends.s3 import S3Storage

        storage = endpoints.guarded(S3Storage) if self.guarded else S3Storage
        return storage(
            bucket_name=self.name,
            location=self.prefix,
            endpoint_url=self.endpoint,
            region_name=self.region or "us-east-1",
            access_key=self.access_key,
            secret_key=self.secret_key,
            file_overwrite=True,
            default_acl=None,
            gzip=False,
            transfer_config=TransferConfig(use_threads=False),
            max_memory_size=BYTES_IN_MEMORY,
            client_config=Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"max_attempts": 3, "mode": "standard"},
                signature_version="s3v4",
                # Servers of one's own seldom have a name for each bucket.
                s3={"addressing_style": "path" if self.endpoint else "auto"},
            ),
        )

    @contextlib.contextmanager
    def in_words(self) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            raise PlaceError(said_by(error.response, self.name)) from error
        except FileNotFoundError as error:
            raise PlaceError(f"There is no such file in the bucket {self.name}.") from error
        except (BotoCoreError, Boto3Error) as error:
            raise PlaceError(words_of(error)) from error
        except OSError as error:
            raise PlaceError(error.strerror or str(error)) from error


def words_of(error: Exception) -> str:
    """What we refused ourselves is said without what the library says around it."""
    within = getattr(error, "kwargs", {}).get("error")
    return str(within if isinstance(within, endpoints.Refused) else error)


REFUSALS = {
    "NoSuchBucket": "There is no bucket {bucket}.",
    "404": "There is no such file, or no bucket {bucket}.",
    "InvalidAccessKeyId": "The storage does not know this access key.",
    "SignatureDoesNotMatch": "The secret key is not the one of this access key.",
    "AccessDenied": "The access key may not do this in the bucket {bucket}.",
    "403": "The access key may not do this in the bucket {bucket}, or is wrong.",
}


def said_by(response: Any, bucket: str) -> str:
    error = response.get("Error", {})
    code = str(error.get("Code", ""))
    if code in REFUSALS:
        return REFUSALS[code].format(bucket=bucket)
    return f"The storage says {code or 'no'}: {error.get('Message', 'nothing more')}"


def checked(key: str) -> str:
    path = PurePosixPath(key)
    if path.is_absolute() or ".." in path.parts or "\\" in key:
        raise PlaceError(f"{key!r} is not a key below the bucket's prefix.")
    return key


class BadPlace(ValueError):
    """A setting that names no place."""


def place_of(text: str) -> Place:
    """`/a/folder`, or `s3://bucket/prefix?endpoint=https://host:9000&region=eu-central-1`.

    Raises BadPlace.
    """
    url = urlsplit(text)
    if url.scheme in ("", "file") and url.path.startswith("/") and not url.query:
        return Folder(Path(url.path))
    if url.scheme == "s3" and url.netloc and url.username is None:
        further = parse_qs(url.query, strict_parsing=bool(url.query))
        if set(further) <= {"endpoint", "region"}:
            endpoint, region = (further.get(name, [None])[-1] for name in ("endpoint", "region"))
            return Bucket(url.netloc, url.path.strip("/"), endpoint, region)
    raise BadPlace(
        f"{text!r} is neither an absolute path nor s3://bucket/prefix, with ?endpoint= and "
        "&region= where needed."
    )
