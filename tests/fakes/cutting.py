"""A real registry on a line that breaks."""

from contextlib import closing, suppress
from http.client import HTTPConnection

from tests.fakes.registry import Received
from tests.support import Relay


class BreakingRelay(Relay):
    """Passes requests on; of one that cut_bodies() cuts, the registry sees just what came, then the line is gone."""

    def cut_off(self, request: Received) -> None:
        chunked = request.headers.get("Transfer-Encoding") == "chunked"
        part = b"%x\r\n%b\r\n" % (len(request.body), request.body) if chunked and request.body else request.body
        with closing(HTTPConnection(self._host, timeout=30)) as connection, suppress(OSError):
            connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                connection.putheader(name, value)
            connection.endheaders(part)
