"""What the simulated BIG-IP assumes: everything that is neither in the captured answers nor stated by F5.

Rule of this room: one list, shown by the documentation; code that rests on an assumption names its id.
"""

from __future__ import annotations

from lbsync.lab.bigip.assumption import Assumption
from lbsync.lab.bigip.traffic.assumed import TRAFFIC

CONTROL: tuple[Assumption, ...] = (
    Assumption("login-401", "A wrong password at the login is answered 401 with the message 'Authentication failed.'."),
    Assumption(
        "unknown",
        "A property the device does not know is refused with 400 'one or more properties must be specified: unknown ...'."
        " There are reports of devices that ignore such a property in silence; a simulation that refuses finds misspellings.",
    ),
    Assumption("wording", "The wording of errors marked so in the code; their status is 400 or 404 as for their like."),
    Assumption(
        "in-use",
        "An object that others name cannot be deleted: 01070265 '... cannot be deleted because it is in use by a ...'. The"
        " wording is known for pools; file objects (01071349) and nodes and monitors have messages of their own.",
    ),
    Assumption(
        "upload-range", "A Content-Range that is malformed, out of order or not of the chunk's length is refused: 400."
    ),
    Assumption(
        "drafts-folder", "A folder Drafts comes into being with the first draft in it, in every partition and folder."
    ),
    Assumption(
        "locked-key", "An encrypted key without its passphrase is accepted and shown with size 0 and type unknown."
    ),
    Assumption("install-name", "'install sys crypto key|cert NAME' makes NAME.key or NAME.crt, or overwrites it."),
    Assumption("profile-names", "Profiles of all types share one space of names within a folder."),
    Assumption(
        "tcp-added",
        "A virtual server whose profiles lack a transport gets /Common/tcp; one without profiles gets /Common/fastL4.",
    ),
    Assumption(
        "chain-name",
        "cert, key and chain set at the top of a client-ssl change its first certKeyChain entry, named 'default' if new.",
    ),
    Assumption("flags", "'enabled': false means 'disabled': true, and so for vlansEnabled and vlansDisabled."),
    Assumption(
        "masked", "A passphrase is shown as '$M$Sq$' and a digest, where a device shows it encrypted by its master key."
    ),
    Assumption("controls", "A policy's controls are completed by those its actions need (forwarding, server-ssl ...)."),
    Assumption("listen", "A virtual server that cannot be listened on is refused with 400 and 01070333."),
    Assumption(
        "commit-body", "A commit is answered with the transaction in state COMPLETED; a failed one stays as FAILED."
    ),
    Assumption("transaction-404", "A transaction that is over, deleted or unknown is answered 404."),
    Assumption(
        "transaction-scope",
        "Only objects can be written in a transaction; save, config-sync, unix-rm and install are refused with 400.",
    ),
    Assumption(
        "ha-answers",
        "cm/sync-status, cm/device and cm/failover-status of a pair have the shapes captured from a standalone device;"
        " the details of 'Changes Pending' end in 'Recommended action: Synchronize DEVICE to group GROUP', where DEVICE is the"
        " one that was changed last, whichever device is asked.",
    ),
    Assumption(
        "sync-whole", "A sync copies the whole configuration from one device to the other and saves it on neither."
    ),
    Assumption("sync-disconnected", "config-sync on a disconnected group is accepted and changes nothing."),
    Assumption(
        "connection-options",
        "DELETE /mgmt/tm/sys/connection?options=ss-server-addr+A+ss-server-port+P ends the connections to that server.",
    ),
    Assumption(
        "tcp-values", "The values of /Common/tcp, monitors tcp and icmp, and fastL4 were captured nowhere in full."
    ),
    Assumption(
        "members-replaced", "A list of members in a PATCH replaces them whole: session and state of all start anew."
    ),
    Assumption(
        "nodes-stay", "A node made with a pool member stays when the member goes; only in use it cannot be deleted."
    ),
    Assumption(
        "address-goes",
        "A virtual address with autoDelete goes with the last virtual server on it, in the same change.",
    ),
    Assumption("node-unmonitored", "Nodes are not monitored: their state is unchecked, or user-down."),
    Assumption(
        "node-above",
        "A member whose node is disabled shows session addr-disabled; one whose node is forced offline shows state user-down,"
        " too. A member's own user-disabled is shown before the node's. The enabled state in statistics is disabled.",
    ),
    Assumption(
        "sorted",
        "The members of a pool are listed by full path, and a virtual server's vlans by name, whatever order they were sent in.",
    ),
    Assumption(
        "route-domain",
        "Addresses of members and nodes in a partition with a defaultRouteDomain n other than 0 are shown with %n; names are"
        " not. One address may be a node's once in each route domain. DELETE of sys/connection passes over %n.",
    ),
    Assumption(
        "half-finished",
        "A half-finished upload lies in the downloads folder as tmp/NAME; unix-rm of NAME removes it, too.",
    ),
    Assumption(
        "rm-elsewhere", "unix-rm removes nothing outside the downloads folder: Permission denied, also with -f."
    ),
    Assumption(
        "tls13-cipher-group",
        "From 14.0 on a client-ssl profile whose tmOptions lack no-tlsv1.3 needs a cipherGroup: with a cipher string it is"
        " refused with 400, its parents' values counted. Those that a device comes with are not judged until they are changed"
        " (/Common/clientssl-secure of a 14.1.2.1 has both). Before 14.0 no-tlsv1.3 is an unknown option, and no base profile"
        " has it.",
    ),
    Assumption(
        "late-errors",
        "503 'AsyncContext timeout' in JSON tells nothing of whether the request was carried out; 504 is an HTML page of the"
        " web server in front.",
    ),
    Assumption(
        "read-only-account",
        "An account without the right to change reads everything, may end and prolong its own tokens, and is answered 401"
        " 'Authorization failed: user=... resource=... verb=...' for every other change, uploads and transactions included.",
    ),
    Assumption(
        "stats-shape",
        "Statistics have the names that F5's own clients read; a single object's stand below '.../NAME/NAME/stats', a"
        " collection's below '.../NAME/stats'. Packets, bits and requests are always 0.",
    ),
    Assumption("name-reference", "Profiles and policies on a virtual server show a nameReference on every version."),
    Assumption(
        "tm-options-14",
        "tmOptions is a string from 14.0 on (known: a list on 13.0, a string on 14.1), and 'none' when empty.",
    ),
    Assumption(
        "draft-in-folder", "Drafts of policies in a folder lie in its own folder Drafts: /Common/folder/Drafts/p."
    ),
    Assumption(
        "legacy-status", "A policy made with legacy is shown with status 'legacy' and may be modified in place."
    ),
    Assumption("policy-http", "A virtual server with a policy that requires http needs an HTTP profile: 01070734."),
    Assumption("policy-draft", "A virtual server cannot name a draft: 01070734."),
)
"""Those of the control plane; the data plane's stand in ``traffic.assumed``."""

ASSUMPTIONS: tuple[Assumption, ...] = CONTROL + TRAFFIC
