"""A server that speaks S3, in a thread of this process, for it and its children."""

import logging
import os
import uuid
from functools import cache
from typing import Any

import fsspec
from moto.moto_server.threaded_moto_server import ThreadedMotoServer


def new_folder() -> str:
    """The URL of a folder that nothing is in."""
    return f"s3://{_bucket()}/{uuid.uuid4().hex}"


@cache
def client() -> Any:
    """A file system that shares no cache with those of the product, as if in another process."""
    _bucket()
    return fsspec.filesystem("s3", skip_instance_cache=True)


@cache
def _bucket() -> str:
    """The bucket of a server that runs as long as this process. How to get there says the
    environment, as for anybody's S3."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://{host}:{port}",
        AWS_ACCESS_KEY_ID="anybody",
        AWS_SECRET_ACCESS_KEY="anything",
        AWS_DEFAULT_REGION="us-east-1",
    )
    fsspec.filesystem("s3").mkdir("books")
    return "books"
