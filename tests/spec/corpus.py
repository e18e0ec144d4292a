"""JSON texts made from the grammar of RFC 8259: for each production what is valid, what is not, and
what the RFC leaves to the implementation, with what acni makes of that.

The tests put each text through every reader; ``NAMED`` are the responses that real plugins and real
accidents gave.

(RFC 8259, sections 2 to 9; rules R6, R13)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final, Literal

from attrs import frozen

Judgement = Literal["valid", "invalid", "free"]


@frozen(kw_only=True)
class Text:
    """One text.

    Attributes:
        name: What is special about it.
        raw: Its bytes.
        rfc: What RFC 8259 says of it; "free" is left to the implementation.
        is_taken: acni's readers take it, as the value of a field.
    """

    name: str
    raw: bytes
    rfc: Judgement
    is_taken: bool

    @property
    def core(self) -> bytes:
        """The value without the white space around it."""
        return self.raw.strip(b" \t\n\r")


def _valid(*texts: str) -> Iterator[Text]:
    for text in texts:
        yield Text(name=_shown(text.encode()), raw=text.encode(), rfc="valid", is_taken=True)


def _invalid(*texts: str) -> Iterator[Text]:
    for text in texts:
        yield Text(name=_shown(text.encode()), raw=text.encode(), rfc="invalid", is_taken=False)


def _free(raw: str | bytes, name: str, *, is_taken: bool) -> Text:
    raw = raw.encode() if isinstance(raw, str) else raw
    return Text(name=name, raw=raw, rfc="free", is_taken=is_taken)


def _shown(raw: bytes) -> str:
    return repr(raw)[1:60]


def _texts() -> Iterator[Text]:
    """JSON-text = ws value ws (section 2): exactly one value, of any kind (section 3)."""
    yield from _valid("{}", "[]", '""', "true", "false", "null")
    yield from _invalid(
        "", " ", "\n", "1 2", "{}{}", "[][]", "null null", '"a""b"', "1,", ",1", ":"
    )
    yield from _invalid(
        '"a":1', "{}]", "[]}", "{}x", "[]\\n", "[]#", "x", "a b", "<a/>", "---", "=1"
    )


def _space() -> Iterator[Text]:
    """WS = *( %x20 / %x09 / %x0A / %x0D ), before and after values and the six structural
    characters; nothing else, and no comments.
    """
    allowed = [" ", "\t", "\n", "\r", "\r\n", " \t\n\r" * 3]
    yield from _valid(*(f"{space}1{space}" for space in allowed))
    yield from _valid(*(f"[{space}1{space},{space}2{space}]" for space in allowed))
    yield from _valid(*(f'{{{space}"a"{space}:{space}1{space}}}' for space in allowed))
    forbidden = ["\v", "\f", "\b", "\0", "\x1c", "\x85", "\xa0", "\u2003", "\u2028", "\u3000"]
    forbidden += ["\u200b", "\ufeff", "//c\n", "/**/", "#c\n", "<!---->", "\\n", "\\u0020"]
    yield from _invalid(*(f"[1,{space}2]" for space in forbidden))
    yield from _invalid(*(f"1{space}" for space in forbidden))
    yield from _invalid(*(f"{{}}{space}" for space in forbidden))
    yield from _invalid(*(f"{space}{{}}" for space in forbidden if space != "\ufeff"))


def _literals() -> Iterator[Text]:
    """The literal names must be lowercase; there are no others (section 3)."""
    names = ["true", "false", "null"]
    yield from _valid(*(f"[{name}]" for name in names))
    yield from _valid(*(f'{{"a":{name}}}' for name in names))
    yield from _invalid(*(name.capitalize() for name in names))
    yield from _invalid(*(name.upper() for name in names))
    yield from _invalid(*(name[:-1] for name in names), *(name + "s" for name in names))
    yield from _invalid(*(f"{name[0]} {name[1:]}" for name in names))
    yield from _invalid(*(f"-{name}" for name in names), "tr\uff55e", "nul\0l")
    yield from _invalid("None", "nil", "undefined", "yes", "on", "NaN", "-NaN", "nan", "Infinity")
    yield from _invalid("-Infinity", "+Infinity", "inf", "-inf", "[NaN]", "[Infinity]", "1NaN")


def _numbers() -> Iterator[Text]:
    """Number = [ minus ] int [ frac ] [ exp ] (section 6): the product of its parts, and one fault
    in each.
    """
    minus, whole = ["", "-"], ["0", "7", "10", "9007199254740993"]
    frac, exp = ["", ".0", ".250"], ["", "e1", "E+1", "e-01"]
    yield from _valid(*map("".join, itertools.product(minus, whole, frac, exp)))
    yield from _valid("[1.0]", "[1e2]", '{"a":-0.0}', "123456789012345678901234567890", "1e+23")
    yield from _invalid("-", "+1", "+0", "--1", "- 1", "01", "00", "-01", "007.5", "1-1", "1+1")
    yield from _invalid("1.", "-1.", ".5", "-.5", ".", "1..0", "1.0.0", "1. 0", "1 .0", "1.e1")
    yield from _invalid("1e", "1E", "1e+", "1e-", "1e+-1", "1e1.0", "1e1e1", "1e 1", "e1", "-e1")
    yield from _invalid("0x1f", "0b1", "0o7", "1_000", "1,000", "1 000", "1f", "1L", "1n", "$1")
    yield from _invalid("\uff11", "1\uff11", "\u0661", "\xbd", "1e\u0661", "\u22121", "\u221e")
    yield _free("1e308", "a large number", is_taken=True)
    yield _free("1e-999", "underflow", is_taken=True)
    yield _free("0e999", "zero times a large power", is_taken=True)
    yield _free("18446744073709551616", "over 64 bits", is_taken=True)
    yield _free("-9223372036854775809", "under 64 bits", is_taken=True)
    yield _free("9" * 4300, "4,300 digits", is_taken=True)
    yield _free("0." + "1" * 5000, "5,000 digits of a fraction", is_taken=True)
    yield _free("0." + "0" * 400 + "1e400", "small times a large power", is_taken=True)
    yield _free("1e999", "overflow", is_taken=False)
    yield _free("-1e999", "negative overflow", is_taken=False)
    yield _free("[1E+400]", "overflow in a list", is_taken=False)
    yield _free("1.7976931348623159e308", "the first number that overflows", is_taken=False)
    yield _free("9" * 5000, "5,000 digits", is_taken=False)
    yield _free("-" + "9" * 5000, "5,000 digits below zero", is_taken=False)
    yield _free("9" * 5000 + ".5e1", "5,000 digits of a float", is_taken=False)


def _strings() -> Iterator[Text]:
    """String = quotation-mark *char quotation-mark (section 7): each character or its escape, and
    never a control character.
    """
    yield from _valid('"a"', '"a b"', '"/"', '"\'"', '"[1,2]"', '"{\\"a\\":1}"', '"null"')
    yield from _valid(*(f'"\\{escape}"' for escape in '"\\/bfnrt'))
    points = ["0000", "001f", "0041", "007F", "00e9", "20AC", "fffe", "FFFF", "dbff\\uDfff"]
    yield from _valid(*(f'"\\u{point}"' for point in points), '"\\ud83d\\ude00"')
    yield from _valid('"\\\\u0041"', '"\\\\\\\\"', '"a\\u0022b"', '"\\u005c"', '"\\u005Cn"')
    raw = [
        "\x7f",
        "\x80",
        "\x85",
        "\xa0",
        "\xe9",
        "e\u0301",
        "\u05d0",
        "\u200f",
        "\u2028",
        "\u2029",
    ]
    raw += ["\ufeff", "\ufffd", "\uffff", "\uff21", "\U0001f600", "\U0010ffff"]
    yield from _valid(*(f'"{character}"' for character in raw))
    yield from _invalid(*(f'"{chr(control)}"' for control in range(0x20)))
    yield from _invalid(*(f'"\\{escape}"' for escape in "a01ve'xU?Nu \n\0\xe9"))
    yield from _invalid('"\\u1"', '"\\u12"', '"\\u123"', '"\\u123g"', '"\\u+041"', '"\\u 041"')
    yield from _invalid(
        '"\\u0x41"', '"\\u-041"', '"\\u00_4"', '"\\u{41}"', '"\\u\uff10\uff10\uff14\uff11"'
    )
    yield from _invalid('"\\ud83d\\u"', '"\\ud83d\\ude0"', '"\\ud83d\\udxyz"', '"\\x41"', '"\\101"')
    yield from _invalid(
        '"', '"a', 'a"', '"\\"', '"\\', '"a"b"', "'a'", "`a`", "\u201ca\u201d", '"""'
    )
    yield from _invalid('r"a"', 'b"a"', 'u"a"', '"a"+"b"', '"a" "b"', "a", "\\u0022a\\u0022")


def _surrogates() -> Iterator[Text]:
    """The grammar allows escapes of lone surrogates, which are no characters (section 8.2)."""
    lone = ["\\ud800", "\\udfff", "\\uDC00\\uD800", "\\ud800a", "a\\udc00", "\\ud800\\ud800"]
    lone += ["\\ud800\\n", "\\ud83d\\\\ude00", "\\ud800\\u0041", "\\ud800\\udbff\\udfff"]
    for text in lone:
        yield _free(f'"{text}"', f"lone surrogate in {text}", is_taken=True)
    yield _free('{"\\ud800":1}', "lone surrogate in a key", is_taken=True)
    yield _free('["\\udead"]', "lone surrogate in a list", is_taken=True)


def _arrays() -> Iterator[Text]:
    """Array = begin-array [ value *( value-separator value ) ] end-array (section 5)."""
    yield from _valid("[1]", "[1,2]", '[1,"a",null,true,[],{}]', "[[],[[]],[[[]]]]", "[{}]")
    yield from _valid("[" + "0," * 999 + "0]", "[ ]", "[[1],[2]]", '["]"]', '["[", ","]')
    yield from _invalid("[", "]", "[[", "[1", "[1,", "[,", "[,]", "[1,]", "[,1]", "[1,,2]", "[1 2]")
    yield from _invalid("[1;2]", "[1:2]", "(1)", "[1}", "[1)", "[[]", "[]]", "[1]]", '["a]', "[a]")
    yield from _invalid("[...]", "[1,...]", "[1\n,2", "[*]", '["a":1]', "[\uff0c]", "\uff3b\uff3d")


def _objects() -> Iterator[Text]:
    """Object = begin-object [ member *( value-separator member ) ] end-object; member = string
    name-separator value (section 4).
    """
    yield from _valid('{"a":{}}', '{"a":1,"b":2}', '{"":1}', '{"":{"":{}}}', '{"a":[{"b":{}}]}')
    yield from _valid('{"\\u0061":1}', '{"\\"":1}', '{"\\n":1}', '{"\\u0000":1}', '{"a":1,"A":2}')
    yield from _valid('{"\u2028":1}', '{"\xe9":1}', '{"e\u0301":1}', '{"cni.dev/a":1}', '{" a ":1}')
    yield from _valid('{"__proto__":{}}', '{"constructor":0}', '{"{":"}"}', '{"a:1,b":":"}')
    yield from _invalid("{", "}", "{{", "{,}", '{"a"}', '{"a":}', '{"a":1', '{"a":1,', '{"a"', '{"')
    yield from _invalid('{"a" 1}', '{"a"::1}', '{"a"=1}', '{"a"=>1}', '{"a",1}', "{:1}", "{:}")
    yield from _invalid('{"a":1,}', '{,"a":1}', '{"a":1,,"b":2}', '{"a":1 "b":2}', '{"a":1;"b":2}')
    yield from _invalid("{a:1}", "{'a':1}", "{1:1}", "{null:1}", "{[]:1}", "{{}:1}", "{-:1}")
    yield from _invalid('{"a":1]', '{"a":1}}', '{"a":"b":"c"}', '{"a":1,"b"}', '{"a":1,"b":}')
    yield from _invalid(
        '{"a" "b":1}', '{"a":1,...}', '{..."a":1}', '{"a":[}', '{"a":1\0}', '{"\n":1}'
    )
    yield _free('{"a":1,"a":2}', "duplicate key", is_taken=True)
    yield _free('{"a":1,"a":1}', "duplicate key and value", is_taken=True)
    yield _free('{"a":1,"\\u0061":2}', "duplicate key, escaped", is_taken=True)
    yield _free('{"":1,"":2}', "duplicate empty key", is_taken=True)
    yield _free('{"a":{"b":1,"b":[]},"a":{}}', "duplicate keys inside each other", is_taken=True)


def _depths() -> Iterator[Text]:
    """An implementation may set limits on the depth of nesting (section 9)."""
    for depth in (2, 10, 50, 90):
        yield _free("[" * depth + "]" * depth, f"{depth} lists deep", is_taken=True)
        yield _free('{"a":' * depth + "1" + "}" * depth, f"{depth} objects deep", is_taken=True)
    yield _free('[{"a":' * 45 + "1" + "}]" * 45, "45 lists and objects deep", is_taken=True)
    yield _free('"' + "[" * 50_000 + '"', "50,000 brackets in a string", is_taken=True)
    yield _free('"' + "[" * 600_000 + '"', "600,000 brackets in a string", is_taken=False)
    for depth in (200, 1_000, 10_000):
        yield _free("[" * depth + "]" * depth, f"{depth} lists deep", is_taken=False)
        yield _free('{"a":' * depth + "1" + "}" * depth, f"{depth} objects deep", is_taken=False)
    yield from _invalid("[" * 100_000, "]" * 100_000, '{"a":' * 30_000, '[{"":' * 30_000)


def _encodings() -> Iterator[Text]:
    """JSON text must be encoded in UTF-8, without a byte order mark (section 8.1)."""
    yield from _valid('"\u00e9\u20ac\U0001f600"', '["\u4e2d\u6587"]', '{"\u0416":"\u05d0"}')
    for name in ("utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32-be", "utf-32", "utf-7"):
        is_ascii = name == "utf-7"
        yield _free('["\u00e9"]'.encode(name), name.upper(), is_taken=is_ascii)
        yield _free('{"a":1}'.encode(name), f"{name.upper()} of ASCII", is_taken=is_ascii)
    yield _free('"\u00e9"'.encode("latin-1"), "Latin-1", is_taken=False)
    yield _free('"\u2019"'.encode("cp1252"), "Windows-1252", is_taken=False)
    yield _free('"\u3042"'.encode("shift_jis"), "Shift JIS", is_taken=False)
    for text in ("{}", "[]", "1", '"a"'):
        yield _free(
            b"\xef\xbb\xbf" + text.encode(), f"byte order mark before {text}", is_taken=False
        )
    broken = {
        "a stray continuation byte": b"\x80",
        "a byte that UTF-8 has not": b"\xff",
        "a sequence cut off": b"\xe2\x82",
        "an overlong NUL": b"\xc0\x80",
        "an overlong slash": b"\xe0\x80\xaf",
        "a surrogate": b"\xed\xa0\x80",
        "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
        "a point over U+10FFFF": b"\xf4\x90\x80\x80",
        "a sequence of five bytes": b"\xf8\x88\x80\x80\x80",
    }
    for name, octets in broken.items():
        yield _free(b'"' + octets + b'"', f"{name} in a string", is_taken=False)
        yield _free(b'{"' + octets + b'":1}', f"{name} in a key", is_taken=False)
        yield _free(octets, f"{name} alone", is_taken=False)
    yield from _invalid("\0", "\0\0\0\0", "[]\0", "\0[]", "[\0]", '"a\0"')


CORPUS: Final = {
    "text": (*_texts(),),
    "ws": (*_space(),),
    "literal": (*_literals(),),
    "number": (*_numbers(),),
    "string": (*_strings(),),
    "surrogate": (*_surrogates(),),
    "array": (*_arrays(),),
    "object": (*_objects(),),
    "depth": (*_depths(),),
    "encoding": (*_encodings(),),
}
"""The texts by the production of the grammar that they are about."""


@frozen(kw_only=True)
class Printed:
    """What a plugin printed, and what is made of it.

    Attributes:
        stdout: On standard output.
        stderr: On standard error.
        is_taken: With exit status 0 ADD and VERSION take it; None: either may be.
        code: With another exit status, the code of the plugin's error; None: it has no error
            object, False: either may be.
    """

    stdout: bytes = b""
    stderr: bytes = b""
    is_taken: bool | None = False
    code: int | Literal[False] | None = None


# Good for ADD and for VERSION alike; and an error.
_ANSWER: Final = (
    b'"cniVersion":"1.0.0","supportedVersions":["1.0.0"],'
    b'"interfaces":[{"name":"eth0","mac":"02:00:00:00:00:01","sandbox":"/run/netns/c1"}],'
    b'"ips":[{"address":"10.0.0.2/24","gateway":"10.0.0.1","interface":0}]'
)
_GOOD: Final = b"{" + _ANSWER + b"}"
_ERROR: Final = b'{"cniVersion":"1.0.0","code":7,"msg":"no address","details":"none is left"}'


def _with(member: bytes) -> bytes:
    return b"{" + _ANSWER + b"," + member + b"}"


NAMED: Final = {
    "a good answer": Printed(stdout=_GOOD, is_taken=True),
    "an answer in white space": Printed(stdout=b"\r\n\t " + _GOOD + b" \n\n", is_taken=True),
    "logs before the JSON": Printed(stdout=b'time="12:00" level=info msg="{"\n' + _GOOD),
    "logs after the JSON": Printed(stdout=_GOOD + b"\ndone\n"),
    "logs before the error": Printed(stdout=b"W0101 {pod} slow\n" + _ERROR, code=7),
    "logs on stderr": Printed(stdout=_GOOD, stderr=b"a warning \xff\n", is_taken=True),
    "an answer twice": Printed(stdout=_GOOD + _GOOD),
    "an answer and an error": Printed(stdout=_GOOD + b"\n" + _ERROR, code=7),
    "an error and an answer": Printed(stdout=_ERROR + _GOOD, code=7),
    "two errors": Printed(stdout=b'{"code":3,"msg":"first"}' + _ERROR, code=7),
    "an error on stderr only": Printed(stderr=_ERROR, code=7),
    "an error on stderr, logs on stdout": Printed(stdout=b"log", stderr=_ERROR, code=7),
    "an error object": Printed(stdout=_ERROR, code=7),
    "an error object, code as text": Printed(stdout=b'{"code":"7","msg":"no"}', code=7),
    "an error object, pretty": Printed(stdout=b'{\n\t"code": 7,\n\t"msg": "no"\n}\n', code=7),
    "an error object cut off": Printed(stdout=_ERROR[:-4]),
    "an error object with a newline": Printed(stdout=b'{"code":7,"msg":"a\nb"}'),
    "nothing": Printed(),
    "white space": Printed(stdout=b" \n\n"),
    "null": Printed(stdout=b"null"),
    "a list": Printed(stdout=b"[]"),
    "the answer in a list": Printed(stdout=b"[" + _GOOD + b"]"),
    "text": Printed(stdout=b'"1.0.0"'),
    "words": Printed(stdout=b"panic: runtime error: invalid memory address\n\ngoroutine 1"),
    "a number": Printed(stdout=b"0"),
    "NULs": Printed(stdout=b"\0" * 4096),
    "NULs after the answer": Printed(stdout=_GOOD + b"\0" * 512),
    "byte order mark": Printed(stdout=b"\xef\xbb\xbf" + _GOOD),
    "UTF-16": Printed(stdout=_GOOD.decode().encode("utf-16")),
    "UTF-16 of an error": Printed(stdout=_ERROR.decode().encode("utf-16")),
    "invalid UTF-8": Printed(stdout=_with(b'"x":"\xff\xfe"')),
    "invalid UTF-8 in an error": Printed(stdout=b'{"code":7,"msg":"\xff"}', code=7),
    "lone surrogate": Printed(stdout=_with(b'"x":"\\ud800"'), is_taken=True),
    "NaN": Printed(stdout=_with(b'"x":NaN')),
    "Infinity": Printed(stdout=_with(b'"x":-Infinity')),
    "1e999": Printed(stdout=_with(b'"x":1e999')),
    "1e999 in an error": Printed(stdout=b'{"code":1e999,"msg":"no"}'),
    "an integer of 5,000 digits": Printed(stdout=_with(b'"x":' + b"9" * 5000)),
    "a code of 4,000 digits": Printed(stdout=b'{"code":' + b"9" * 4000 + b"}", code=False),
    "a code of 5,000 digits": Printed(stdout=b'{"code":' + b"9" * 5000 + b"}"),
    "100,000 brackets": Printed(stdout=b"[" * 100_000),
    "100,000 braces": Printed(stdout=b'{"a":' * 100_000),
    "100,000 brackets in an answer": Printed(stdout=_with(b'"x":' + b"[" * 100_000)),
    "duplicate keys": Printed(stdout=b'{"ips":7,"supportedVersions":7,' + _GOOD[1:], is_taken=True),
    "a bad duplicate": Printed(stdout=_with(b'"ips":7,"supportedVersions":7')),
    "keys in other case": Printed(stdout=_GOOD.title(), is_taken=None),
    "an error's keys in other case": Printed(
        stdout=b'{"Code":7,"Msg":"no"}', is_taken=None, code=False
    ),
    "2 MiB": Printed(stdout=_with(b'"x":"' + b"a" * (2 << 20) + b'"')),
    "2 MiB of logs before an error": Printed(stdout=b"log\n" * (1 << 19) + _ERROR, code=7),
    "1 MiB of lists": Printed(stdout=b"[],[]," * ((1 << 20) // 6)),
    "1 MiB of lists in an answer": Printed(
        stdout=_with(b'"x":[' + b"[],[]," * ((1 << 20) // 6) + b"1]")
    ),
    "1 MiB of objects": Printed(stdout=b"{}" * (1 << 19)),
    "1 MiB of lists before an error": Printed(stdout=b"[],[]," * (1 << 17) + _ERROR, code=7),
}
"""What plugins print, by name."""
