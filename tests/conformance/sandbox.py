"""The sandbox as a program outside sees it: a child process, its papers, its pages, its broker.

Standard library alone, so that nothing which Fieldkey itself uses is on this side of the test.
"""

import base64
import hashlib
import html.parser
import http.client
import json
import os
import secrets
import select
import signal
import ssl
import subprocess
import time
import urllib.parse
import uuid
from pathlib import Path

START_LIMIT = 60
STOP_LIMIT = 20
HTTP_LIMIT = 30


class Sandbox:
    """A running sandbox; the child writes its state to `folder`."""

    def __init__(self, folder):
        self.folder = Path(folder)
        program = os.environ["FIELDKEY_PROGRAM"]
        scenario = Path(__file__).with_name("site.toml")
        self.child = subprocess.Popen(
            [program, "--json", "sandbox", "up", "--scenario", scenario, "--state", self.folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        try:
            self.ready = self._first_line()
            status = self.status()
            self.issuer = status["issuerUrl"]
            self.broker = status["brokerUrl"]
            self.mqtt = status["mqtt"]
            self.ca = status["caPem"]
            self.tls = ssl.create_default_context(cadata=self.ca)
            known = json.loads((self.folder / "secrets.json").read_text())
            self.passwords = {person["name"]: person["secret"] for person in known["users"]}
            self.aws, self.administrator = status["aws"], known["aws"]
            self._serials = iter([device["serial"] for device in status["devices"]])
        except BaseException:
            self.child.kill()
            self.child.wait()
            raise

    def _first_line(self):
        there, _, _ = select.select([self.child.stdout], [], [], START_LIMIT)
        line = self.child.stdout.readline() if there else b""
        if not line:
            raise RuntimeError(f"the sandbox did not come up within {START_LIMIT} s")
        ready = json.loads(line)
        if ready["type"] != "ready":
            raise RuntimeError(f"the sandbox did not come up: {ready}")
        return ready

    def status(self):
        """What the sandbox last wrote down."""
        return json.loads((self.folder / "status.json").read_text())

    def fresh_serial(self):
        """A device that no other test uses."""
        return next(self._serials)

    def interrupt(self):
        """Ctrl-C, as a person ends it; gives the exit code."""
        try:
            self.child.send_signal(signal.SIGINT)
            return self.child.wait(STOP_LIMIT)
        finally:
            if self.child.poll() is None:
                self.child.kill()
                self.child.wait()
            self.child.stdout.close()

    # -- HTTPS, trusting the sandbox's authority and nothing else ----------------------------------------------------

    def https(self, method, url, body=None, headers=None):
        """One request; no redirect is followed. Gives status, headers and body."""
        parts = urllib.parse.urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=HTTP_LIMIT, context=self.tls)
        try:
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def post_form(self, url, fields):
        """Posts a form."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.https("POST", url, urllib.parse.urlencode(fields), headers)

    # -- OpenID Connect ----------------------------------------------------------------------------------------------

    def sign_in(self, user):
        """Signs a person in and gives the access token."""
        return self.tokens(user)["access_token"]

    def tokens(self, user):
        """Authorization code with PKCE (RFC 7636), the form filled in as a person would; gives all tokens."""
        _, _, text = self.https("GET", self.issuer.rstrip("/") + "/.well-known/openid-configuration")
        places = json.loads(text)
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        # Nothing listens there: the redirect is read, not followed.
        redirect, state = "http://127.0.0.1:1/callback", secrets.token_urlsafe(16)
        question = urllib.parse.urlencode(
            {
                "response_type": "code",
                "client_id": "fieldkey",
                "redirect_uri": redirect,
                "scope": "openid profile",
                "state": state,
                "nonce": secrets.token_urlsafe(16),
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        page = f"{places['authorization_endpoint']}?{question}"
        status, _, text = self.https("GET", page)
        expect(status == 200, "the sign-in page", status, text)
        form = Form(text)
        fields = {**form.carried, "username": user, "password": self.passwords[user], "consent": "allow"}
        status, headers, text = self.post_form(urllib.parse.urljoin(page, form.action), fields)
        expect(status in (302, 303), "the sign-in form", status, text)
        answer = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(headers["Location"]).query))
        expect(headers["Location"].startswith(redirect), "the way back", status, headers["Location"])
        expect(answer.get("state") == state, "the state", status, answer)
        status, _, text = self.post_form(
            places["token_endpoint"],
            {
                "grant_type": "authorization_code",
                "code": answer["code"],
                "redirect_uri": redirect,
                "client_id": "fieldkey",
                "code_verifier": verifier,
            },
        )
        expect(status == 200, "the token endpoint", status, text)
        return json.loads(text)

    # -- the broker, as broker.openapi.yaml has it ---------------------------------------------------------------------

    def call(self, token, method, path, body=None):
        """One call of the broker; gives status and the decoded answer."""
        headers = {"Authorization": f"Bearer {token}"}
        if body is not None:
            body, headers["Content-Type"] = json.dumps(body), "application/json"
        status, _, text = self.https(method, urllib.parse.urljoin(self.broker, path), body, headers)
        return status, json.loads(text) if text else None

    def claim(self, token, serial):
        """A new claim for a device."""
        wish = {
            "serial": serial,
            "idempotencyKey": str(uuid.uuid4()),
            "accept": ["certificate"],
            "purpose": "new",
        }
        # A device with a key at the maker's is only given a claim for that key, as the journey would prove it.
        _, device = self.call(token, "GET", f"/v1/devices/{serial}")
        if "identityKeySha256" in device:
            wish["identityKeySha256"] = device["identityKeySha256"]
        status, claim = self.call(token, "POST", "/v1/claims", wish)
        expect(status == 201, "a claim", status, claim)
        return claim

    def events(self, token, claim, wanted, limit=15):
        """Waits until the broker has seen all the kinds in `wanted`; gives its last answer, and all events."""
        seen, after, deadline = [], 0, time.monotonic() + limit
        while True:
            path = f"/v1/claims/{claim['claimId']}/enrolment?after={after}&wait=2"
            status, news = self.call(token, "GET", path)
            expect(status == 200, "the enrolment", status, news)
            seen += news["events"]
            after = max([after, *(event["seq"] for event in seen)])
            if wanted <= {event["kind"] for event in seen}:
                return news, seen
            expect(time.monotonic() < deadline, f"{wanted} within {limit} s", status, seen)


class Form(html.parser.HTMLParser):
    """The form of a page: where it goes, and what it carries along unseen."""

    def __init__(self, text):
        super().__init__()
        self.action, self.carried = None, {}
        self.feed(text)
        expect(self.action, "a form", 200, text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form":
            self.action = attrs["action"]
        elif tag == "input" and attrs.get("type") == "hidden":
            self.carried[attrs["name"]] = attrs["value"]


def expect(right, what, status, answer):
    """Stops the test with the answer that was wrong. No answer of a refusal holds a secret."""
    if not right:
        raise AssertionError(f"{what}: {status}: {answer}")
