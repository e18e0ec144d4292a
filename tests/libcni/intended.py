"""Where acni and libcni make something else of the same result or configuration, on purpose.

Each row is proved by cases of ``test_conversions.py`` or ``test_configurations.py``: while both
sides agree on one of them, that test fails.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from attrs import frozen


class Kind(Enum):
    """How the two sides differ."""

    LIBCNI_REFUSES = "libcni refuses"
    ACNI_REFUSES = "acni refuses"
    OTHER_VALUE = "another value"


@frozen
class Intended:
    """An intended difference.

    Attributes:
        kind: How the sides differ.
        what: What both are given.
        libcni: What libcni makes of it; nothing where it is refused or taken as it is.
        reason: The rule or the decision that acni follows.
        acni: What acni makes of it, where both take it.
    """

    kind: Kind
    what: str
    libcni: str
    reason: str
    acni: str = ""

    def sides(self) -> tuple[str, str]:
        """Say what libcni does and what acni does."""
        match self.kind:
            case Kind.LIBCNI_REFUSES:
                return "refused", "taken"
            case Kind.ACNI_REFUSES:
                return self.libcni or "taken", "refused"
            case Kind.OTHER_VALUE:
                return self.libcni, self.acni


_LOOSELY: Final = (
    "R61, and results of real plugins: what acni does not depend on is no reason to undo an ADD"
)
_AS_WRITTEN: Final = "R6: what passes on to the next plugin is the text that was printed"
_UTF8: Final = "JSON is UTF-8: what is not can be read in several ways"
_BOUNDED: Final = "hostile text is refused before it costs memory or time"

RESULTS: Final = {
    "other family": Intended(
        Kind.OTHER_VALUE,
        "in 0.3.0 to 0.4.0, a `version` that contradicts its address, converted to 0.2.0 or older",
        "the family is what `version` says",
        "R42: the family is what the address says",
        "the family is what the address says",
    ),
    "no family": Intended(
        Kind.LIBCNI_REFUSES,
        "in 0.3.0 to 0.4.0, addresses without a usable `version`, converted to 0.2.0 or older",
        "",
        "R42: the family is what the address says",
    ),
    "1.1.0": Intended(
        Kind.LIBCNI_REFUSES,
        "a result of 1.1.0",
        "",
        "R9: 1.1.0 is one of seven versions; Debian's libcni 1.1.2 knows six",
    ),
    "read loosely": Intended(
        Kind.LIBCNI_REFUSES,
        "an `interface`, `mac`, `sandbox`, `version`, route or `dns` of the wrong JSON type, and"
        " a route that cannot be read",
        "",
        _LOOSELY,
    ),
    "empty route": Intended(
        Kind.OTHER_VALUE,
        "a route without `dst`",
        "`dst` becomes Go's text for nil, and with 0.2.0 the route is dropped",
        _AS_WRITTEN,
        "the route stays as it is",
    ),
    "nulls": Intended(
        Kind.OTHER_VALUE,
        "`null` in a list of texts",
        "an empty text",
        _AS_WRITTEN,
        "stays",
    ),
    "short prefix": Intended(
        Kind.OTHER_VALUE,
        "IPv4 in IPv6 with a prefix length below 96, such as `::ffff:10.0.0.2/64`",
        "`10.0.0.2/0`",
        _AS_WRITTEN,
        "stays",
    ),
    "surrogate": Intended(
        Kind.OTHER_VALUE,
        "an escaped half of a surrogate pair",
        "U+FFFD",
        _AS_WRITTEN,
        "stays",
    ),
    "long numbers": Intended(
        Kind.LIBCNI_REFUSES, "an integer that no float can hold", "", _AS_WRITTEN
    ),
    "merged": Intended(
        Kind.OTHER_VALUE,
        "a key twice in one object, both times with an object or a list of objects",
        "the two are merged, member by member",
        "of a key that is there twice the last counts; what is checked is what is passed on",
        "the last one",
    ),
    "no address": Intended(
        Kind.ACNI_REFUSES,
        "an address entry without `address`, or `ip4` without `ip`",
        "the address becomes Go's text for nil",
        "specification, section 5: `address` is required; no later plugin can read that",
    ),
    "null entry": Intended(
        Kind.ACNI_REFUSES,
        "`null` in `ips` or `interfaces`, or where routes are converted",
        "`null` stays, or the route becomes Go's text for nil",
        "specification, section 5: these are lists of objects; no later plugin can read them",
    ),
    "no name": Intended(
        Kind.ACNI_REFUSES,
        "an interface without `name`",
        "the name becomes empty",
        "specification, section 5: `name` is required",
    ),
    "null": Intended(
        Kind.ACNI_REFUSES,
        "`null` instead of a result",
        "an empty result",
        "specification, section 5: a result is an object",
    ),
    "error object": Intended(
        Kind.ACNI_REFUSES,
        "an error object, printed with exit status 0",
        "an empty result",
        "specification, section 5: this is an error; a recorded success would hide it",
    ),
    "version no text": Intended(
        Kind.ACNI_REFUSES,
        "a `cniVersion` that is no text",
        "as if there were none",
        "R42: a version that acni does not know is the plugin's failure",
    ),
    "version in capitals": Intended(
        Kind.OTHER_VALUE,
        "`CNIVersion`, with another version than the selected one",
        "as if the selected version had been printed, so nothing is converted",
        "R42: the version that was printed counts, as every other key in any case of its letters",
        "converted from the version that it has",
    ),
    "version in two spellings": Intended(
        Kind.LIBCNI_REFUSES,
        "`cniVersion` in two spellings, with two versions",
        "",
        "of a key that is there twice the last counts, in whatever case of its letters",
    ),
    "not UTF-8": Intended(Kind.ACNI_REFUSES, "bytes that are not UTF-8", "U+FFFD", _UTF8),
    "bounds": Intended(
        Kind.ACNI_REFUSES,
        "more than 100 levels, 65,536 brackets and commas or 1,048,576 characters",
        "",
        _BOUNDED,
    ),
}

CONFIGURATIONS: Final = {
    "no version": Intended(
        Kind.OTHER_VALUE,
        "no `cniVersion`, or an empty one",
        "the version is empty",
        "R9: none means 0.1.0, for plugins as for every gate",
        "0.1.0",
    ),
    "null version": Intended(
        Kind.LIBCNI_REFUSES,
        "a list with `null` for its `cniVersion` (libcni takes it in the file of one plugin)",
        "",
        "R9: none means 0.1.0",
    ),
    "other version": Intended(
        Kind.ACNI_REFUSES,
        "a `cniVersion` that is none of the seven",
        "",
        "R9: nothing that is supported is offered",
    ),
    "versions": Intended(
        Kind.OTHER_VALUE,
        "`cniVersions`, which Debian's libcni 1.1.2 does not know",
        "`cniVersion` alone counts",
        "R9: the highest supported version of both is selected",
        "the highest of both",
    ),
    "bad versions": Intended(
        Kind.ACNI_REFUSES,
        "`cniVersions` that is no list of versions",
        "`cniVersion` alone counts",
        "R9: malformed versions are refused",
    ),
    "name": Intended(
        Kind.ACNI_REFUSES,
        "a network without a usable `name`: empty, a path, or absent in the file of one plugin",
        "",
        "R1: refused wherever a configuration is read, before a path is made of it",
    ),
    "type": Intended(
        Kind.ACNI_REFUSES, "a `type` that is no file name", "", "R7: refused when it is read"
    ),
    "ipam.type": Intended(
        Kind.ACNI_REFUSES, "an `ipam.type` that is no file name", "", "R55: as a plugin's `type`"
    ),
    "flag as text": Intended(
        Kind.LIBCNI_REFUSES,
        "`disableCheck`, or a declared capability, as the text `true` or `false`",
        "",
        "R50: 0.4.0 writes a flag as text",
    ),
    "newer flags": Intended(
        Kind.ACNI_REFUSES,
        "`disableGC` or `loadOnlyInlinedPlugins` that is no flag (Debian's libcni 1.1.2 knows"
        " neither)",
        "not looked at",
        "R3, R4: a flag that cannot be read must not count as absent",
    ),
    "fields of plugins": Intended(
        Kind.LIBCNI_REFUSES,
        "a plugin's `dns` of the wrong JSON type",
        "",
        "R6: the runtime does not know `dns`; the plugin does",
    ),
    "generated": Intended(
        Kind.LIBCNI_REFUSES,
        "a plugin's `name`, `cniVersion` or `prevResult` of the wrong JSON type",
        "",
        "R37, R39: never sent, so never read",
    ),
    "numbers": Intended(
        Kind.OTHER_VALUE,
        "an integer beyond 2^53",
        "rounded to a float",
        "R6: unknown fields pass unchanged, their values too",
        "stays",
    ),
    "long numbers": Intended(
        Kind.LIBCNI_REFUSES, "an integer that no float can hold", "", "R6: integers of any length"
    ),
    "surrogate": Intended(
        Kind.OTHER_VALUE,
        "an escaped half of a surrogate pair",
        "U+FFFD",
        "R6: unknown fields pass unchanged, their values too",
        "stays",
    ),
    "not UTF-8": Intended(Kind.ACNI_REFUSES, "bytes that are not UTF-8", "U+FFFD", _UTF8),
    "bounds": Intended(
        Kind.ACNI_REFUSES,
        "more than 100 levels, 65,536 brackets and commas or 1,048,576 characters",
        "",
        _BOUNDED,
    ),
}
