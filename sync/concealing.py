"""Who is answered reads of hosts what they may: in every page, list, log and download."""

from collections.abc import Callable, Iterator

from django.http import HttpRequest, HttpResponse

from sync.services.reading import Reader, read_by

View = Callable[[HttpRequest], HttpResponse]


def conceal_hosts(get_response: View) -> View:
    def middleware(request: HttpRequest) -> HttpResponse:
        reader = Reader.of(request.user)
        with read_by(reader):
            response = get_response(request)
        if response.streaming:
            pieces: Iterator[bytes] = response.streaming_content  # type: ignore[attr-defined]
            response.streaming_content = _read_by(reader, iter(pieces))  # type: ignore[attr-defined]
        return response

    return middleware


def _read_by(reader: Reader, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """What is looked up while it is sent."""
    while True:
        with read_by(reader):
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece
