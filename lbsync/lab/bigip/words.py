"""The words a policy's actions and conditions are made of.

Rule of this room: data only, from F5's tmsh reference for ``ltm policy`` (13 to 17), written as REST writes them.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ACTION_WORDS = _words(
    "application asm avr cache carp classify clonePool compress cookie cookieHash cookieInsert cookiePassive"
    " cookieRewrite decompress defer destinationAddress disable domain enable expiry expression extension facility"
    " forward fromProfile hash host http httpBasicAuth httpCookie httpHeader httpHost httpReferer httpReply"
    " httpSetCookie httpUri ifile insert internalVirtual ipAddress key l7dos location log ltmPolicy member message"
    " netmask nexthop node path pem persist pin policy pool priority profile protocol queryString rateclass redirect"
    " remove replace request requestAdapt reset response responseAdapt scheme script select serverSsl setVariable"
    " connection shutdown snat snatpool sourceAddress sslClientHello sslServerHandshake sslServerHello sslSessionId tcl"
    " tcpNagle text tmName uie universal unnamedQueryParameter value virtual vlan wam write"
)
CONDITION_WORDS = _words(
    "address all browserType browserVersion caseInsensitive caseSensitive cipher cipherBits clientSsl clientAccepted"
    " code commonName contains continent countryCode countryName cpuUsage datagroup deviceMake deviceModel domain"
    " endsWith equals exists expiry extension geoip greater greaterOrEqual host httpBasicAuth httpCookie httpHeader"
    " httpHost httpMethod httpReferer httpSetCookie httpStatus httpUri httpUserAgent httpVersion internal isp less"
    " lessOrEqual local major matches minor missing mss not org password path pathSegment port protocol"
    " queryParameter queryString regionCode regionName request response routeDomain rtt scheme serverName sslCert"
    " sslClientHello sslExtension sslServerHandshake sslServerHello startsWith tcp text tmName"
    " unnamedQueryParameter userAgentToken username value values version vlan vlanId"
)
CONTROLS = {
    "forward": "forwarding",
    "serverSsl": "server-ssl",
    "persist": "persistence",
    "asm": "asm",
    "cache": "caching",
    "compress": "compression",
}
"""Which control an action needs, where that is certain."""
