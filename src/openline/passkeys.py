"""Passkeys: what a browser is asked, and whether what its device answers is right (WebAuthn).

Theory of operation: a device is asked to sign a challenge, which is random, works once, for a
minute or two, and stands in memory for one purpose only: signing in, a new passkey of one person,
or one act of one person. It is never made from a text, and what the device signed is looked at and
thrown away: kept, a signature over something that came from a text would be one upon that text.
`Secrets` holds both these challenges and the proofs that people.py gives for them. The library
`webauthn` reads and verifies; it is imported at its first use, since commands that meet no passkey
should start fast, or by `prepare`, since a post that runs should not stand still for it. Whose a
passkey is and what follows from it lives in people.py.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .core.events import Now
from .errors import LocalError

ANSWER_CHARACTERS_MAX = 16_384
"""Longest answer of a device that is looked at, as JSON."""

SECRET_BYTES = 32

_ALGORITHMS = (-8, -7, -257)
"""Ed25519, ECDSA on P-256, RSA, as COSE numbers them: what devices of today have."""


class Passkey(NamedTuple):
    """A public key whose private one a person's device keeps."""

    ident: bytes
    public_key: bytes
    """As COSE has it."""
    signed: int
    """Signatures the device said it had made; a number that does not grow shows a copy. Some
    always say 0."""
    label: str
    added_s: int = 0

    @property
    def short(self) -> str:
        """What people call it beside its label: the beginning of a hash."""
        return sha256(self.ident).hexdigest()[:8]


class Purpose(NamedTuple):
    """What a secret was given out for: a purpose can only be met by the same one."""

    what: str
    """"sign_in", "passkey_add", or "act"."""
    name: str = ""
    """The person it was given to; "" before anybody has signed in."""
    subject: str = ""
    """Which act."""
    origin: str = ""
    """Of the page a challenge was given to."""


Options = dict[str, Any]
"""What `PublicKeyCredential.parse…OptionsFromJSON` of a browser takes."""


def prepare() -> None:
    """Import what verifies: a fifth of a second that no step has to wait for then."""
    import_module("webauthn")


class Secrets:
    """Random secrets given out, each for one use and one purpose within `life_s`, at most `most` at
    a time and PER_PERSON_MAX to one person: one more forgets the oldest. In memory, since they are
    shorter lived than any restart.
    """

    PER_PERSON_MAX = 16

    def __init__(self, entropy: Callable[[int], bytes], life_s: int, most: int) -> None:
        self.life_s = life_s
        self._entropy = entropy
        self._most = most
        self._given: dict[bytes, tuple[Purpose, int]] = {}

    def give(self, purpose: Purpose, now: Now) -> bytes:
        """A new one."""
        secret = self._entropy(SECRET_BYTES)
        own = [key for key, (other, _) in self._given.items() if other.name == purpose.name]
        if purpose.name and len(own) >= self.PER_PERSON_MAX:
            del self._given[own[0]]
        elif len(self._given) >= self._most:
            del self._given[next(iter(self._given))]
        self._given[secret] = purpose, now.mono_ms + 1000 * self.life_s
        return secret

    def take(self, secret: bytes, now: Now) -> Purpose | None:
        """What it was given for; from then on, and after its time, None."""
        purpose, until_ms = self._given.pop(secret, (None, 0))
        return purpose if now.mono_ms < until_ms else None


# -- what a browser is asked ----------------------------------------------------------------------


def host(origin: str) -> str:
    """The host name in an origin ("https://desk.example:8470"), which a passkey is bound to: not an
    address in figures. Raises LocalError("people.passkey_origin").
    """
    try:
        found = urlsplit(origin)
        name = found.hostname or ""
        if found.scheme in ("http", "https") and name and not (":" in name or name[-1].isdigit()):
            return name
    except ValueError:
        pass
    raise LocalError("people.passkey_origin")


def creation(
    challenge: bytes, at: str, name: str, handle: bytes, keys: Iterable[Passkey]
) -> Options:
    """Options for `navigator.credentials.create`, as JSON: a passkey for `name` at the host `at`,
    on a device that holds none of `keys`.
    """
    return {
        "challenge": _text(challenge),
        "rp": {"id": at, "name": at},
        "user": {"id": _text(handle), "name": name, "displayName": name},
        "pubKeyCredParams": [{"type": "public-key", "alg": each} for each in _ALGORITHMS],
        "excludeCredentials": [_described(key) for key in keys],
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": "required",
        },
        "attestation": "none",
    }


def request(challenge: bytes, at: str, keys: Iterable[Passkey]) -> Options:
    """Options for `navigator.credentials.get`, as JSON: with one of `keys`, or with whichever the
    person has for the host `at`.
    """
    return {
        "challenge": _text(challenge),
        "rpId": at,
        "allowCredentials": [_described(key) for key in keys],
        "userVerification": "required",
    }


def _described(key: Passkey) -> dict[str, str]:
    return {"type": "public-key", "id": _text(key.ident)}


def _text(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def _octets(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


# -- what a device answers ------------------------------------------------------------------------


@contextmanager
def _strangers() -> Iterator[None]:
    """The library reads bytes of strangers and says nowhere in how many ways it may fail at them:
    whatever they make of it is one refusal. Nothing of ours stands within.
    """
    try:
        yield
    except Exception:
        raise LocalError("people.passkey_refused") from None


class Answer:
    """What a device answered: read as far as is needed to know what was asked of whom.

    Raises LocalError("people.passkey_refused") for what is no answer at all.
    """

    def __init__(self, said: str) -> None:
        try:
            if len(said) > ANSWER_CHARACTERS_MAX:
                raise ValueError
            self._said = json.loads(said)
            self.ident = _octets(self._said["rawId"])
            client = json.loads(_octets(self._said["response"]["clientDataJSON"]))
            self.challenge = _octets(client["challenge"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise LocalError("people.passkey_refused") from None

    def created(self, purpose: Purpose, label: str, now: Now) -> Passkey:
        """The new passkey. Raises LocalError("people.passkey_refused")."""
        import webauthn
        from webauthn.helpers import parse_attestation_object
        from webauthn.helpers.cose import COSEAlgorithmIdentifier

        at, algorithms = host(purpose.origin), [COSEAlgorithmIdentifier(n) for n in _ALGORITHMS]
        with _strangers():
            told = parse_attestation_object(_octets(self._said["response"]["attestationObject"]))
            if told.fmt not in ("none", "packed") or told.att_stmt.x5c:
                # Not asked for, and certificates of makers would be more to attack.
                raise ValueError
            found = webauthn.verify_registration_response(
                credential=self._said,
                expected_challenge=self.challenge,
                expected_rp_id=at,
                expected_origin=purpose.origin,
                require_user_verification=True,
                supported_pub_key_algs=algorithms,
            )
        key = found.credential_public_key
        return Passkey(found.credential_id, key, found.sign_count, label, now.wall_s)

    def signed(self, purpose: Purpose, key: Passkey) -> Passkey:
        """The passkey after this signature of it. Raises LocalError: people.passkey_refused,
        people.passkey_copied.
        """
        import webauthn

        at = host(purpose.origin)
        with _strangers():
            found = webauthn.verify_authentication_response(
                credential=self._said,
                expected_challenge=self.challenge,
                expected_rp_id=at,
                expected_origin=purpose.origin,
                credential_public_key=key.public_key,
                credential_current_sign_count=0,  # compared below, to say so by a code of its own
                require_user_verification=True,
            )
        if (key.signed or found.new_sign_count) and found.new_sign_count <= key.signed:
            raise LocalError("people.passkey_copied")
        return key._replace(signed=found.new_sign_count)
