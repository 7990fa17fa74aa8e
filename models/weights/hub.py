"""Downloads from the Hugging Face Hub that resume an unfinished file.

Not by `huggingface_hub`: its `hf_hub_download` writes to a file of a new name each time and deletes it when it
fails (2.4), so an interrupted fetch of a gigabyte would start again.
"""

import http.client
import re
import urllib.request
from pathlib import Path

from .registry import HubSource, WeightFile
from .store import CHUNK, Progress, size_of

HUB_SECONDS = 5.0
"""How long the Hub may stay silent: where it cannot be reached, the next source should start soon."""


def from_hub(
    weights: WeightFile,
    source: HubSource,
    part: Path,
    show: Progress,
    hub: urllib.request.OpenerDirector,
) -> None:
    """Append to `part` until it is whole; reconnects for as long as each connection brings something.

    Args:
        weights: the record; its size, if known, must be the Hub's.
        source: repository, revision and file.
        part: the beginning of the file, or nothing.
        show: receives the bytes done.
        hub: opens the address.

    Raises:
        ConnectionError: the server's answer cannot be used, or it ended early.
        OSError: the Hub cannot be reached, or the disk cannot be written.
        HTTPException: the connection broke and brought nothing.
    """
    while True:
        before = size_of(part)
        if weights.size and before == weights.size:
            return
        try:
            total = _one_connection(weights, source, part, show, hub)
        except (OSError, http.client.HTTPException):
            if size_of(part) <= before:
                raise
        else:
            if size_of(part) == total:
                return
            if size_of(part) <= before:
                msg = f"{source.url} ended after {before} of {total} bytes"
                raise ConnectionError(msg)


def _one_connection(
    weights: WeightFile,
    source: HubSource,
    part: Path,
    show: Progress,
    hub: urllib.request.OpenerDirector,
) -> int:
    """Append what one connection brings to `part`; returns the size of the whole file in bytes."""
    held = size_of(part)
    headers = {"User-Agent": "tanqu"} | ({"Range": f"bytes={held}-"} if held else {})
    request = urllib.request.Request(source.url, headers=headers)  # noqa: S310 - `url` is https
    with hub.open(request, timeout=HUB_SECONDS) as answer, part.open("ab") as file:
        start, total = _span(answer, held)
        if not answer.url.startswith("https://") or (weights.size and total != weights.size):
            msg = f"{answer.url} offers {total} bytes, not the {weights.size} that are listed"
            raise ConnectionError(msg)
        file.truncate(start)
        done = start
        while done < total and (chunk := answer.read(min(CHUNK, total - done))):
            file.write(chunk)
            done += len(chunk)
            show(done, total, f"{weights.name} from the Hub")
    return total


def _span(answer: http.client.HTTPResponse, held: int) -> tuple[int, int]:
    """Where the body starts in the file, and how large the file is, by the headers."""
    if answer.status == http.HTTPStatus.PARTIAL_CONTENT:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if match and int(match[1]) == held:
            return held, int(match[2])
    length = answer.headers.get("Content-Length", "")
    if answer.status != http.HTTPStatus.OK or not length.isdigit():
        msg = f"{answer.url} gave an answer that cannot be used (status {answer.status})"
        raise ConnectionError(msg)
    return 0, int(length)
