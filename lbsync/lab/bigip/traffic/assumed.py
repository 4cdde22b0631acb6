"""What the data plane does that neither captured data nor F5's documentation at hand states.

Rule of this room: a list; whoever has a device at hand can try each, and the code says nothing that it depends on in secret.
"""

from __future__ import annotations

from lbsync.lab.bigip.assumption import Assumption

_CONFIGURATION = (
    Assumption(
        "traffic-connection-keeps-virtual",
        "An open client connection keeps the profiles, policies and pool names of its virtual server as they were when it was "
        "opened; members, their sessions and their health are those of the running configuration.",
    ),
    Assumption(
        "traffic-disabled-or-deleted-virtual",
        "A disabled or deleted virtual server refuses new connections, and those that are open go on.",
    ),
    Assumption(
        "traffic-misconfigured-virtual",
        "A virtual server whose profiles or policies cannot be carried out resets every new connection; a device would not "
        "have accepted most of them.",
    ),
    Assumption("traffic-irules-not-run", "An iRule has no effect, /Common/_sys_https_redirect aside."),
    Assumption(
        "traffic-balancing-modes",
        "The modes are round-robin and least connections (ties by turn); every other mode is carried out as round-robin, and "
        "ratios, priority groups, connection limits and slowRampTime have no effect.",
    ),
    Assumption(
        "traffic-source-address",
        "Servers see an address of this machine, whatever sourceAddressTranslation says.",
    ),
)

_POLICIES = (
    Assumption(
        "traffic-path-raw",
        "A policy compares the path, and the URI, byte for byte as the client sent them: no decoding, no dot segments, no "
        "doubled slashes removed.",
    ),
    Assumption("traffic-policy-case", "A condition compares case-sensitively unless caseInsensitive is true."),
    Assumption(
        "traffic-policy-absent-operand",
        "A condition on something that is not there (a header, a path segment) is not met, and met where it has not.",
    ),
    Assumption("traffic-policy-no-operator", "A condition with values and no operator compares for equality."),
    Assumption(
        "traffic-policy-host",
        "httpHost compares the whole Host header, the port included, unless its selector is host.",
    ),
    Assumption(
        "traffic-header-actions",
        "insert adds a line beside those of the same name; replace leaves one line and inserts it where there is none; remove "
        "removes all of them.",
    ),
    Assumption(
        "traffic-server-ssl-sticks",
        "disable serverSsl holds for the client's connection until an action with enable serverSsl is carried out on it: with "
        "one-connect a later request to another pool goes in clear, too, unless its rule enables.",
    ),
    Assumption(
        "traffic-redirect-answer",
        "A redirect is answered by HTTP/1.0 302 Found with the http profile's serverAgentName, and keeps the connection unless "
        "the request has a body that is not there yet.",
    ),
    Assumption(
        "traffic-redirect-wins",
        "Of a redirect and a pool the redirect is carried out, of a reset and anything the reset.",
    ),
)

_HTTP = (
    Assumption(
        "traffic-malformed-reset",
        "A request or an answer that is no HTTP/1.x, whose length can be read in two ways, or that exceeds maxHeaderSize or "
        "maxHeaderCount, resets the client's connection.",
    ),
    Assumption(
        "traffic-first-choice",
        "Without one-connect a server's connection is chosen once, and again only after it closed.",
    ),
    Assumption(
        "traffic-server-close",
        "Without one-connect an answer with Connection: close ends the client's connection too; a server that closes between "
        "two requests does not.",
    ),
    Assumption(
        "traffic-status-reuse",
        "With one-connect a connection is given to others only after a status of oneconnectStatusReuse; after any other it "
        "stays with its client for the next request to the same pool with the same TLS, and is closed where that goes elsewhere.",
    ),
    Assumption(
        "traffic-ntlm-profile",
        "An ntlm profile beside one-connect keeps a server's connection with its client for good after the first request that "
        "carries an NTLM or Negotiate authorization.",
    ),
    Assumption(
        "traffic-transformations",
        "With one-connect and oneconnectTransformations a client's Connection header that says close reaches the server as "
        "Xonnection, and a server's Connection: close does not reach the client.",
    ),
    Assumption("traffic-no-retry", "A request that was written to a server is never sent again; the client is reset."),
    Assumption(
        "traffic-redirect-rewrite",
        "redirectRewrite turns http:// of a Location into https:// and drops its port, where clients use TLS; matching does so "
        "for the requested host and URI alone, a slash at the end aside.",
    ),
    Assumption(
        "traffic-chunking-preserved", "Bodies keep the framing they came with, whatever the chunking properties say."
    ),
    Assumption("traffic-any-method", "Every method is passed on; CONNECT is no tunnel."),
    Assumption(
        "traffic-idle-reset",
        "A connection that is idle for its tcp profile's idleTimeout is reset together with the other side of it.",
    ),
    Assumption(
        "traffic-close-wait",
        "A client that says its last word while an answer is awaited is reset five seconds after the last byte to it; at once "
        "where it ended TLS.",
    ),
)

_TLS = (
    Assumption(
        "traffic-session-cache",
        "A session cache is carried out by tickets; it belongs to a virtual server and outlives a change of certificates, so "
        "that a resumed session goes on under the certificate it began with.",
    ),
    Assumption("traffic-ciphers", "ciphers and cipherGroup have no effect; no release below TLS 1.2 is spoken."),
    Assumption(
        "traffic-authenticate-name",
        "authenticateName must be one of the certificate's alternative names or its subject's common name; a wildcard stands "
        "for one label.",
    ),
    Assumption(
        "traffic-untrusted-ignore",
        "untrustedCertResponseControl ignore verifies nothing; expireCertResponseControl is always drop.",
    ),
    Assumption(
        "traffic-sni-no-match",
        "A name that no client-ssl profile has gets the sniDefault profile, or the first; sniRequire has no effect.",
    ),
)

_MONITORS = (
    Assumption("traffic-monitor-send", "A send string is sent as it is written, escapes decoded and nothing appended."),
    Assumption("traffic-monitor-recv", "A receive string is a case-sensitive regular expression, or plain text if it is none."),
    Assumption("traffic-monitor-length", "The receive string is looked for in the first 5120 bytes of an answer."),
    Assumption("traffic-monitor-https", "An https monitor verifies nothing and asks for no name."),
    Assumption(
        "traffic-monitor-first",
        "The first check of a member comes after a random part of its monitor's interval (0 to all of it), and so does the next "
        "one after a change of the monitor.",
    ),
    Assumption(
        "traffic-monitor-checking",
        "A member that was never checked is given no connections; its first failure marks it down at once.",
    ),
    Assumption(
        "traffic-monitor-shared",
        "Pools that use the same monitor for the same address and port share its state, and it outlives a change of the "
        "monitor's properties.",
    ),
    Assumption("traffic-monitor-kinds", "Monitors are http, https, tcp and tcp-half-open; members of any other are down."),
    Assumption(
        "traffic-reuse-idle",
        "idleTimeoutOverride of a one-connect profile is the idle time of connections that wait for the next client.",
    ),
    Assumption("traffic-idle-counted", "A member's current connections include those that one-connect keeps idle."),
)  # fmt: skip

TRAFFIC: tuple[Assumption, ...] = (*_CONFIGURATION, *_POLICIES, *_HTTP, *_TLS, *_MONITORS)
