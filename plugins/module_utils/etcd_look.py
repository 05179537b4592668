# Copyright: the kubeadm.ha developers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What etcd's endpoints answer this host, as API servers would ask them; what it means is decided in ``external_etcd``.

Nothing here returns a secret: of keys in etcd only their number.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from . import etcd, x509
from .external_etcd import (
    CLIENT_REFUSED,
    NO_CONNECTION,
    NO_ETCD,
    NO_TLS,
    OTHER_CA,
    OTHER_NAME,
    SERVER_CERTIFICATE,
    Answer,
)
from .https_json import Document, JsonClient, RequestFailed, unverified_context

# Source: OpenSSL's x509_vfy.h (X509_V_ERR_…): unknown or wrong signers, and names that do not match.
_SIGNERS = frozenset({2, 7, 18, 19, 20, 21, 24, 30})
_NAMES = frozenset({62, 64})
_ENDED, _PURPOSE = 10, 26
_TIMES = frozenset({9, _ENDED})
_ABOUT_CERTIFICATES = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "DECRYPT_ERROR")
# How etcd speaks of its own authentication, which the JSON gateway cannot pass.
# Source: etcd's api/v3rpc/rpctypes/error.go.
_AUTH = ("user name is empty", "permission denied", "invalid auth token", "CommonName of client")


def look(
    endpoints: Sequence[str], ca_file: str, cert_file: str, key_file: str, prefix: str, timeout: float
) -> Document:
    """What this host sees of an etcd that its API server is to use.

    Args:
        endpoints: https URLs.
        ca_file: what API servers trust, and below what they show; absolute paths.
        cert_file: a certificate for clients.
        key_file: its key.
        prefix: below which API servers keep their keys.
        timeout: seconds for one answer.

    Returns:
        ``missing``: those of the three files that are not here. ``unfit``: why they would not do, as kind and words, or
        None. ``answers``: by endpoint, see ``external_etcd.Answer``. Without files that are fit it only shows whether a
        connection can be made.
    """
    files = (ca_file, cert_file, key_file)
    missing = [path for path in files if not os.path.exists(path)]
    unfit = None if missing else unfitness(*files)
    shown = None if missing or unfit else files
    with ThreadPoolExecutor(max_workers=max(len(endpoints), 1)) as threads:
        answers = threads.map(lambda endpoint: ask(endpoint, shown, prefix, timeout), endpoints)
        by_endpoint = dict(zip(endpoints, (answer.as_dict() for answer in answers)))
    return {"missing": missing, "unfit": unfit, "answers": by_endpoint}


def unfitness(ca_file: str, cert_file: str, key_file: str) -> list[str] | None:
    """Why a server that trusts this CA would not let in the client of this certificate, by OpenSSL's own judgement.

    Two ends of a connection are held against each other in memory; the certificate serves as the server's own as well,
    which nobody judges.

    Returns:
        The file to blame and what is wrong with it; None where a server would let the client in.
    """
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), unverified_context()
    try:
        server.load_verify_locations(ca_file)
    except OSError as error:
        return [ca_file, f"no certificate of a CA ({_words(error)})"]
    try:
        server.load_cert_chain(cert_file, key_file)
        client.load_cert_chain(cert_file, key_file)
    except ssl.SSLError as error:
        if "KEY_VALUES_MISMATCH" in str(error):
            return [key_file, f"a key that does not belong to {cert_file}"]
        return [cert_file, f"no certificate, or {key_file} is no key in clear ({_words(error)})"]
    except OSError as error:
        return [cert_file, _words(error)]
    server.verify_mode = ssl.CERT_REQUIRED
    server.verify_flags |= etcd.PARTIAL_CHAIN
    upward, downward = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(downward, upward), server.wrap_bio(upward, downward, server_side=True)
    for _flight in range(3):  # TLS 1.3 takes two, 1.2 three
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                if error.verify_code in _SIGNERS:
                    return [cert_file, f"a certificate that {ca_file} did not sign"]
                return [cert_file, _described(error, _pem(cert_file), "clients")]
            except ssl.SSLError as error:
                return [cert_file, _words(error)]
    return None


def ask(endpoint: str, files: tuple[str, str, str] | None, prefix: str, timeout: float) -> Answer:
    """What one endpoint answers to a client with these files; without them only whether a connection can be made."""
    place = urlsplit(endpoint)
    host, port = place.hostname or "", place.port or 443
    try:
        plain = socket.create_connection((host, port), timeout)
    except (OSError, UnicodeError) as error:
        return Answer(failure=NO_CONNECTION, error=_no_connection(error, timeout))
    if files is None:
        plain.close()
        return Answer(asked=False)
    context = etcd.client_context(*files)
    connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    try:
        connection.sock = context.wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        plain.close()
        return _unverified(error, host, port, context, timeout)
    except OSError as error:  # OpenSSL's errors are among these
        plain.close()
        return _refused(error) or Answer(failure=NO_TLS, error=_no_connection(error, timeout))
    try:
        # With TLS 1.3 a client hears only here that its certificate is refused.
        connection.request("GET", "/version")
        version = json.loads(connection.getresponse().read().decode())["etcdserver"]
    except ConnectionError:
        return Answer(failure=CLIENT_REFUSED, error="the connection closed when this host had shown its certificate")
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        no_version = f"no version in answer to GET /version ({_words(error)})"
        return _refused(error) or Answer(failure=NO_ETCD, error=no_version)
    finally:
        connection.close()
    return _gateway(endpoint, context, prefix, timeout, str(version))


def _gateway(endpoint: str, context: ssl.SSLContext, prefix: str, timeout: float, version: str) -> Answer:
    """What etcd says of itself; one without the JSON gateway says no more than its version."""
    queries: tuple[tuple[str, str, Document], ...] = (
        ("status", "/maintenance/status", {}),
        ("members", "/cluster/member/list", {}),
        ("alarms", "/maintenance/alarm", {"action": "GET"}),
        ("keys", "/kv/range", etcd.count_below(prefix)),
    )
    values: Document = {"version": version}
    for name, method, body in queries:
        try:
            values.update(_read(name, etcd.call(endpoint, context, method, timeout, body)))
        except RequestFailed as error:
            if name == "status" and error.status == 404:
                return _without_gateway(endpoint, context, timeout, version)
            values["auth"] = values.get("auth", False) or any(word in str(error) for word in _AUTH)
            values["error"] = str(error)
    return Answer(**values)


def _without_gateway(endpoint: str, context: ssl.SSLContext, timeout: float, version: str) -> Answer:
    """Peers are served without one, too; only clients are told of health."""
    try:
        JsonClient(endpoint, context, timeout).request("GET", "/health")
    except RequestFailed as error:
        if error.status == 404:
            return Answer(failure=NO_ETCD, error="a port of etcd that serves its peers")
    return Answer(version=version, gateway=False)


def _read(name: str, answer: Document) -> Document:
    """The fields of ``Answer`` that an answer of the gateway tells."""
    if name == "keys":
        return {"keys": int(answer.get("count", 0))}
    if name == "alarms":
        found = ((str(one.get("alarm", "")), str(one.get("memberID", ""))) for one in answer.get("alarms", ()))
        return {"alarms": tuple(found)}
    if name == "members":
        listed = answer.get("members", ())
        return {
            "members": tuple((str(one["ID"]), one.get("name", ""), tuple(one.get("clientURLs", ()))) for one in listed)
        }
    header = answer.get("header", {})
    return {
        "cluster": str(header.get("cluster_id", "")),
        "member": str(header.get("member_id", "")),
        "leader": str(answer.get("leader", "")),
        "learner": bool(answer.get("isLearner", False)),
    }


def _unverified(
    error: ssl.SSLCertVerificationError, host: str, port: int, context: ssl.SSLContext, timeout: float
) -> Answer:
    """What is wrong with a server's certificate, with what it says itself."""
    if error.verify_code in _SIGNERS:
        return Answer(failure=OTHER_CA, error=error.verify_message)
    if error.verify_code not in _NAMES:
        shown = _shown(host, port, unverified_context(), timeout)
        return Answer(failure=SERVER_CERTIFICATE, error=_described(error, shown, "servers"))
    context.check_hostname = False
    try:
        with socket.create_connection((host, port), timeout) as plain, context.wrap_socket(plain) as wrapped:
            names = [str(value) for _kind, value in (wrapped.getpeercert() or {}).get("subjectAltName", ())]
    except OSError:
        names = []
    return Answer(failure=OTHER_NAME, error=", ".join(names) or "no name at all")


def _shown(host: str, port: int, context: ssl.SSLContext, timeout: float) -> str:
    """The certificate that somebody shows there, PEM; empty where none was to be had."""
    try:
        with socket.create_connection((host, port), timeout) as plain, context.wrap_socket(plain) as wrapped:
            return ssl.DER_cert_to_PEM_cert(wrapped.getpeercert(binary_form=True) or b"")
    except OSError:
        return ""


def _described(error: ssl.SSLCertVerificationError, pem: str, users: str) -> str:
    """What is wrong with a certificate of servers or clients, with the moment in question where it is one of time."""
    if error.verify_code == _PURPOSE:
        return f"a certificate that is not for {users}"
    try:
        certificate = x509.parse(pem) if error.verify_code in _TIMES else None
    except x509.MalformedCertificate:
        certificate = None
    if certificate is None:
        return f"a certificate that will not do ({error.verify_message})"
    ended = error.verify_code == _ENDED
    moment = certificate.not_after if ended else certificate.not_before
    verb = "ended" if ended else "begins"
    return f"a certificate that {verb} on {moment:%Y-%m-%d %H:%M} UTC, by this host's clock"


def _pem(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as stream:
        return stream.read()


def _refused(error: Exception) -> Answer | None:
    """A server that does not want our certificate says so by an alert (RFC 8446, section 6.2)."""
    text = str(error).upper() if isinstance(error, ssl.SSLError) else ""
    if "ALERT" in text and any(word in text for word in _ABOUT_CERTIFICATES):
        return Answer(failure=CLIENT_REFUSED, error=_words(error))
    return None


def _no_connection(error: Exception, timeout: float) -> str:
    return f"no answer within {timeout:.0f} s" if isinstance(error, socket.timeout) else _words(error)


def _words(error: Exception) -> str:
    """An error's reason without the numbers and lines that OpenSSL puts around it."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, str):
        return reason.lower().replace("_", " ")
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
