"""What a plugin can print, and what becomes of it: one row for each decision.

`docs/concepts/answers.md` prints this table, and `test_printed.py` runs each row.
"""

from __future__ import annotations

import json
from typing import Final

from attrs import frozen

RESULT: Final = '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}'
VERSIONS: Final = '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}'
ERROR: Final = '{"code":7,"msg":"no"}'

# What an error's message says of text that has none.
NO_ERROR: Final = "no error object"


class Broken(str):
    """What is said of an answer that broke the protocol."""

    __slots__ = ()


NO_LIST: Final = Broken("no list of supportedVersions")


@frozen
class Printed:
    """Something printed.

    Attributes:
        words: What it is.
        stdout: What was printed.
        add: With exit status 0, on ADD: the address that is read, "none" for a result without any,
            or what is said of it.
        failed: With another exit status, on any verb: the error's code and message, or
            ``NO_ERROR``.
        why: Why so.
        stderr: What was written there.
        version: With exit status 0, on VERSION: the versions that are read, or what is said of it.
    """

    words: str
    stdout: bytes
    add: str | Broken
    failed: tuple[int | None, str | None] | str
    why: str
    stderr: bytes = b""
    version: tuple[str, ...] | Broken = NO_LIST


TABLE: Final = (
    Printed(
        "a result",
        RESULT.encode(),
        "10.0.0.2",
        NO_ERROR,
        "The exit status decides: with another than 0 a result is no error object.",
    ),
    Printed(
        "versions",
        VERSIONS.encode(),
        "none",
        NO_ERROR,
        "A result may lack everything; its unknown fields travel on.",
        version=("0.4.0", "1.0.0"),
    ),
    Printed(
        "an error object",
        ERROR.encode(),
        Broken("an error object, where a result was expected"),
        (7, "no"),
        "libcni takes it for a success without addresses when the exit status is 0.",
    ),
    Printed(
        "an error object on standard error only",
        b"",
        Broken("got the end of the text"),
        (7, "no"),
        "Older texts of the specification did not agree where it goes.",
        stderr=ERROR.encode(),
        version=Broken("no JSON object"),
    ),
    Printed(
        "a result, then an error object",
        (RESULT + "\n" + ERROR).encode(),
        Broken("text after the JSON object"),
        (7, "no"),
        "The skeleton of the Go plugins prints both when a check of its own fails after ADD.",
        version=Broken("text after the JSON object"),
    ),
    Printed(
        "logs, then a result",
        ("I0101 main.go:1] hello {x}\n" + RESULT).encode(),
        Broken("expected '{' at character 0"),
        NO_ERROR,
        "Nobody reads such a plugin; the error shows the head of what came.",
        version=Broken("expected '{' at character 0"),
    ),
    Printed(
        "logs, then an error object",
        ("I0101 main.go:1] hello {x}\n" + ERROR).encode(),
        Broken("expected '{' at character 0"),
        (7, "no"),
        "The last object with a code is what the plugin says.",
        version=Broken("expected '{' at character 0"),
    ),
    Printed(
        "an error object, then logs in JSON",
        (ERROR + '\n{"level":"info","msg":"bye"}\n').encode(),
        Broken("text after the JSON object"),
        (7, "no"),
        "A code beats a msg: aws-cni logs like this.",
        version=Broken("text after the JSON object"),
    ),
    Printed(
        "nothing",
        b"",
        Broken("got the end of the text"),
        NO_ERROR,
        "A result was promised; libcni says the same in other words.",
        version=Broken("no JSON object"),
    ),
    Printed(
        "white space",
        b" \n\t",
        Broken("got the end of the text"),
        NO_ERROR,
        "The same as nothing.",
        version=Broken("no JSON object"),
    ),
    Printed(
        "{}",
        b"{}",
        "none",
        NO_ERROR,
        "A chained result may be empty.",
    ),
    Printed(
        "null",
        b"null",
        Broken("expected '{'"),
        NO_ERROR,
        "libcni takes it for an empty result; a plugin that prints it lost its own.",
        version=Broken("no JSON object"),
    ),
    Printed(
        "a list",
        b"[1]",
        Broken("expected '{'"),
        NO_ERROR,
        "No object.",
        version=Broken("no JSON object"),
    ),
    Printed(
        "text",
        b'"ok"',
        Broken("expected '{'"),
        NO_ERROR,
        "No object.",
        version=Broken("no JSON object"),
    ),
    Printed(
        "NULs before it",
        b"\0" * 8 + RESULT.encode(),
        Broken("expected '{'"),
        NO_ERROR,
        "No JSON.",
        version=Broken("no JSON object"),
    ),
    Printed(
        "a byte order mark before it",
        b"\xef\xbb\xbf" + ERROR.encode(),
        Broken("starts with a byte order mark"),
        (7, "no"),
        "RFC 8259 forbids to add one; an error is looked for in anything.",
        version=Broken("byte order mark"),
    ),
    Printed(
        "UTF-16",
        ERROR.encode("utf-16"),
        Broken("not UTF-8 at byte 0"),
        NO_ERROR,
        "The specification's JSON is UTF-8.",
        version=Broken("not UTF-8"),
    ),
    Printed(
        "bytes that are no UTF-8",
        b'{"x":"\xff"}',
        Broken("not UTF-8 at byte 6"),
        NO_ERROR,
        "What is kept and sent on must be text.",
        version=Broken("not UTF-8"),
    ),
    Printed(
        "an error whose msg is no UTF-8",
        b'{"code":7,"msg":"\xff"}',
        Broken("not UTF-8"),
        (7, "\ufffd"),
        "An error is shown whatever it says.",
        version=Broken("not UTF-8"),
    ),
    Printed(
        "a lone surrogate as an escape",
        rb'{"x":"\ud800","code":7,"msg":"\ud800","ips":[]}',
        "none",
        (7, "\ud800"),
        "It stays an escape in what is kept and sent; the message shows it as one.",
    ),
    Printed(
        "NaN",
        b'{"x":NaN}',
        Broken("NaN is no JSON number"),
        NO_ERROR,
        "Python reads it, no other reader would.",
        version=Broken("no JSON object"),
    ),
    Printed(
        "Infinity",
        b'{"x":-Infinity}',
        Broken("-Infinity is no JSON number"),
        NO_ERROR,
        "The same.",
        version=Broken("no JSON object"),
    ),
    Printed(
        "1e999",
        b'{"x":1e999}',
        Broken("out of range"),
        NO_ERROR,
        "Go refuses it, too; 1e2 travels as written.",
        version=Broken("no JSON object"),
    ),
    Printed(
        "an integer of 4,300 digits",
        b'{"x":' + b"9" * 4300 + b"}",
        "none",
        NO_ERROR,
        "It travels as written.",
    ),
    Printed(
        "an integer of 5,000 digits",
        b'{"x":' + b"9" * 5000 + b"}",
        Broken("Exceeds the limit"),
        NO_ERROR,
        "Python's own bound against slow conversions.",
        version=Broken("no JSON object"),
    ),
    Printed(
        "100,000 brackets",
        b"[" * 100_000,
        Broken("more than 65536 brackets and commas"),
        NO_ERROR,
        "Counted before it is parsed.",
        version=Broken("no JSON object"),
    ),
    Printed(
        "101 levels",
        b'{"x":' * 101 + b"1" + b"}" * 101,
        Broken("nested deeper than 100 levels"),
        NO_ERROR,
        "Ten are the most that real plugins print.",
        version=Broken("no JSON object"),
    ),
    Printed(
        "1 MiB of [],[],…",
        b'{"x":[' + b"[]," * 349_520 + b"0]}",
        Broken("more than 65536 brackets and commas"),
        NO_ERROR,
        "It would cost 27 MiB and 73 ms.",
        version=Broken("no JSON object"),
    ),
    Printed(
        "2 MiB",
        b'{"x":"' + b"a" * (2 << 20) + b'"}',
        Broken("more than 1048576 characters"),
        NO_ERROR,
        "A process is ended at 1 MiB already; another runner may yield more.",
        version=Broken("no JSON object"),
    ),
    Printed(
        "duplicate keys",
        b'{"ips":7,"ips":[{"address":"10.0.0.2/24"}],"code":1,"code":7,"msg":"no"}',
        "10.0.0.2",
        (7, "no"),
        "The last one counts, as in Go.",
    ),
    Printed(
        "keys in other case",
        b'{"CNIVersion":"1.0.0","IPs":[{"Address":"10.0.0.2/24"}],"Code":7,"MSG":"no",'
        b'"SupportedVersions":["1.0.0"]}',
        "10.0.0.2",
        (7, "no"),
        "Go folds keys, and plugins that name none of their fields rely on it.",
        version=("1.0.0",),
    ),
    Printed(
        "null for a list",
        b'{"interfaces":null,"ips":null,"routes":null,"dns":null,"supportedVersions":null}',
        "none",
        NO_ERROR,
        "Go prints nil so.",
    ),
    Printed(
        "a list of no objects",
        b'{"ips":[7]}',
        Broken("expected an object at $.ips[0]"),
        NO_ERROR,
        "Not what the specification says, and nothing to read in it.",
    ),
    Printed(
        "an address without a prefix length",
        b'{"ips":[{"address":"10.0.0.2"}]}',
        Broken("expected an address with a prefix length at $.ips[0].address"),
        NO_ERROR,
        "The next plugin could not read it.",
    ),
    Printed(
        "an unknown version",
        b'{"cniVersion":"9.0.0"}',
        Broken("unknown version '9.0.0' at $.cniVersion"),
        NO_ERROR,
        "Nobody knows its shape.",
    ),
    Printed(
        "another version",
        b'{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/24"}}',
        "10.0.0.2",
        NO_ERROR,
        "It is converted to the selected one.",
        version=("0.1.0", "0.2.0"),
    ),
    Printed(
        "a code as text",
        b'{"code":"7","msg":"no"}',
        Broken("an error object"),
        (7, "no"),
        "Read loosely.",
    ),
    Printed(
        "a code that is no number",
        b'{"code":"EIO","msg":"no"}',
        Broken("an error object"),
        (None, "no"),
        "The message shows it.",
    ),
    Printed(
        "a msg alone",
        b'{"msg":"no"}',
        "none",
        (None, "no"),
        "With exit status 0 an unknown field like any other.",
    ),
    Printed(
        "unknown CNI_COMMAND",
        b'{"code":4,"msg":"unknown CNI_COMMAND: VERSION"}',
        Broken("an error object"),
        (4, "unknown CNI_COMMAND: VERSION"),
        "With another exit status than 0, on VERSION: a plugin of 0.1.0.",
    ),
    Printed(
        "an empty list of versions",
        b'{"cniVersion":"0.2.0","supportedVersions":[]}',
        "none",
        NO_ERROR,
        "0.2.0 had no list yet.",
        version=("0.1.0", "0.2.0"),
    ),
    Printed(
        "versions that are no text",
        json.dumps({"supportedVersions": [1]}).encode(),
        "none",
        NO_ERROR,
        "Nobody could compare them.",
    ),
)
