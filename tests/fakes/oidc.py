"""A provider of OpenID Connect on loopback: discovery, authorization, tokens (PKCE and secret are checked), keys."""

import base64
import json
import time
from collections.abc import Callable
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_urlsafe
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

CLIENT, SECRET = "console", "secret-of-the-client"
Answer = tuple[int, dict[str, str], bytes]
_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_EC = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS: dict[str, Any] = {"RS256": _RSA, "ES256": _EC}


class OpenIdProvider:
    """Whoever comes is `person` at once. tamper: changes the claims of the ID token; key: signs instead of its own."""

    def __init__(self, algorithm: str = "RS256", basic: bool = True) -> None:
        self.person: dict[str, Any] = {"sub": "4711", "preferred_username": "ann"}
        self.algorithm, self.basic, self.key = algorithm, basic, KEYS[algorithm]
        self.tamper: Callable[[dict[str, Any]], object] = lambda claims: None
        self.userinfo: dict[str, Any] = {}
        self.discovery: dict[str, Any] = {}
        self._codes: dict[str, dict[str, str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/realms/test"

    def __enter__(self) -> "OpenIdProvider":
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def authorize(self, query: dict[str, str]) -> Answer:
        wanted = {"response_type": "code", "client_id": CLIENT, "code_challenge_method": "S256"}
        if {name: query.get(name) for name in wanted} != wanted or "openid" not in query.get("scope", "").split():
            return 400, {}, b"wrong request"
        code = token_urlsafe()
        self._codes[code] = query
        back = urlencode({"code": code, "state": query["state"]})
        return 302, {"Location": f"{query['redirect_uri']}?{back}"}, b""

    def token(self, form: dict[str, str], authorization: str) -> Answer:
        """A code is good once, for who began, and with the secret of the client."""
        asked = self._codes.pop(form.get("code", ""), None)
        given = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        known = authorization == f"Basic {given}" if self.basic else form.get("client_secret") == SECRET
        if not known:
            return _as_json({"error": "invalid_client"}, 401)
        digest = sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != form["redirect_uri"]:
            return _as_json({"error": "invalid_grant"}, 400)
        return _as_json({"access_token": "access", "token_type": "Bearer", "id_token": self._id_token(asked["nonce"])})

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce, **self.person}
        self.tamper(claims)
        return jwt.encode(claims, self.key, algorithm=self.algorithm, headers={"kid": self.algorithm})

    def _described(self) -> dict[str, Any]:
        paths = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "certs"}
        paths |= {"userinfo_endpoint": "userinfo"} if self.userinfo else {}
        methods = ["client_secret_basic" if self.basic else "client_secret_post"]
        ends = {name: f"{self.url}/{path}" for name, path in paths.items()}
        return {"issuer": self.url, **ends, "token_endpoint_auth_methods_supported": methods, **self.discovery}

    def _keys(self) -> dict[str, Any]:
        as_jwk = {"RS256": jwt.algorithms.RSAAlgorithm, "ES256": jwt.algorithms.ECAlgorithm}
        return {
            "keys": [
                {**as_jwk[name].to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig"}  # type: ignore[attr-defined]
                for name, key in KEYS.items()
            ]
        }

    def answer(self, path: str, query: dict[str, str], form: dict[str, str], authorization: str) -> Answer:
        match path.removeprefix("/realms/test/"):
            case ".well-known/openid-configuration":
                return _as_json(self._described())
            case "auth":
                return self.authorize(query)
            case "token":
                return self.token(form, authorization)
            case "certs":
                return _as_json(self._keys())
            case "userinfo" if authorization == "Bearer access":
                return _as_json(self.userinfo)
        return 404, {}, b""

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
                authorization = self.headers.get("Authorization", "")
                answer = provider.answer(parts.path, _flat(parts.query), _flat(body), authorization)
                status, headers, content = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing is printed."""

        return Handler


def _flat(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}


def _as_json(content: dict[str, Any], status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()
