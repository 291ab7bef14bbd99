"""The rules for personal details in Chinese text: which forms are details, and of which kind.

Precision comes before recall: a number counts only where its form is that of one kind (a mobile number's first digits
and grouping, an identity card's region, date and check digit, a bank card's issuer and Luhn digit) or where a word
beside it says what it is (QQ, 微信, 电话). Numbers that belong to nobody in particular are left: hotlines (110, 12345,
95588), 400 and 800 numbers, public accounts (公众号), loopback addresses and netmasks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from ipaddress import AddressValueError, IPv6Address

from curate.text.checksums import id_check_digit, luhn

# ---- what a number must be

#: The provinces of GB/T 2260, and residents from Taiwan, Hong Kong and Macao (81–83).
_REGIONS = (11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42, 43, 44, 45, 46, 50, 51, 52, 53, 54)
_REGIONS = {*map(str, (*_REGIONS, 61, 62, 63, 64, 65, 71, 81, 82, 83))}

#: Directly before a number, these say that it is something else.
_OTHER_NUMBER = re.compile(
    r"(?:(?:单号|單號|订单|账单|編號|编号|编码|代码|流水号?|货号|款号|型号|案号|学号|工号|考号|证号|会员号|工单|票号|运单号?|"
    r"条形?码|序列号|序号|发票号?|合同号?|批号|批次|文号|ISBN|ISSN|S/?N|N[Oo]\.?|№|金额|价格|总价|售价|营收|收入|利润|"
    r"成交额|资本|销量|产量|人口|[播放点击阅读浏览]{2}量|共计|合计|总计)(?:码|号)?[为是约达到超过突破: #]{0,4}|"
    r"[¥￥$€£第] ?)\Z"
)
#: Directly behind a number, these say that it is an amount.
_UNITS = (
    r"(?:[ ]?(?:元|块|圆|万|亿|千|人|个|個|名|次|美元|美金|港元|日元|欧元|"
    r"吨|公里|米|平方|字|票|分|辆|台|件|倍|册|岁|户|股|家|位|条|款|Q币|点|年|天|%|％|[kK][gm]|[GMK]B))"
)
_AMOUNT = re.compile(_UNITS)
_PHONE_WORD = re.compile(r"(?:电话|電話|手机|手機|联系|聯繫|致电|拨|[Tt][Ee][Ll]|[Pp]hone|短信|号码)[^0-9\n]{0,8}\Z")
_CARD_WORD = re.compile(r"(?:卡号|卡號|银行卡|銀行卡|信用卡|储蓄卡|借记卡|账号|帐号|賬號|账户|帐户)[^0-9\n]{0,12}\Z")

Match = re.Match[str]
Pattern = re.Pattern[str]


def _before(found: Match, chars: int = 24) -> str:
    start = found.start("it")
    return found.string[max(0, start - chars) : start]


def _is_date(digits: str) -> bool:
    """Whether eight digits are a day of the years 1900 to 2099."""
    try:
        day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return 1900 <= day.year < 2100


def _mobile(found: Match) -> bool:
    number = found["it"]
    parts = re.split(r"[ .-]", number)
    if len(parts) == 2 and len(parts[0]) == 3 and _is_date(parts[1]):
        return False
    before = _before(found)
    if _PHONE_WORD.search(before):
        return True
    return not _OTHER_NUMBER.search(before) and not _AMOUNT.match(found.string, found.end("it"))


def _landline(found: Match) -> bool:
    return not _OTHER_NUMBER.search(_before(found)) and not _is_date(re.sub(r"\D", "", found["it"])[-8:])


def _id_card(found: Match) -> bool:
    digits = re.sub(r"[ -]", "", found["it"]).upper()
    right = digits[:2] in _REGIONS and _is_date(digits[6:14])
    return right and id_check_digit(digits[:17]) == digits[17]


def _old_id_card(found: Match) -> bool:
    digits = found["it"]
    return digits[:2] in _REGIONS and _is_date(f"19{digits[6:12]}")


def _bank_card(found: Match) -> bool:
    digits = re.sub(r"[ -]", "", found["it"])
    if not luhn(digits) or len(set(digits)) < 2:
        return False
    before = _before(found)
    if _CARD_WORD.search(before):
        return True
    return bool(_ISSUERS.fullmatch(digits)) and not _OTHER_NUMBER.search(before)


#: UnionPay; Visa; Mastercard; JCB; the older debit cards of ICBC, ABC, BOC and CCB.
_ISSUERS = re.compile(
    r"62\d{14,17}|4\d{15}|4(?:367|563)\d{15}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|"
    r"35(?:2[89]|[3-8]\d)\d{12}|955[89]\d{15}|601382\d{13}"
)

_FILES = {"png", "jpg", "jpeg", "gif", "svg", "webp", "bmp", "txt", "js", "css", "mp3", "mp4", "pdf", "doc", "py"}


def _email(found: Match) -> bool:
    return found["it"].rpartition(".")[2].lower() not in _FILES


#: Versions of programs and sections have four parts too: a Latin word or one of these stands before them.
_VERSION = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9]*|版本号?|版|固件|系统|内核|驱动|补丁|(?:升级|更新|升)(?:到|至|为)?|章|节|条|图|表|附录)"
    r"[ :/为是]{0,2}\Z"
)
_ADDRESS_WORD = re.compile(
    r"(?:(?<![A-Za-z])(?:ip|ipv4|ping|ssh|telnet|host|server|dns|addr|address|gateway|tracert|traceroute|nslookup|from|"
    r"to|at)|地址|网关|服务器|主机|域名|节点|登[录陆]|访问|连接|解析)[^0-9A-Za-z\n]{0,6}\Z",
    re.IGNORECASE,
)


def _ipv4(found: Match) -> bool:
    parts = [int(part) for part in found["it"].split(".")]
    if max(parts) > 255 or parts[0] in (0, 127, 255) or found["it"].startswith("224.0.0."):
        return False
    before = _before(found)
    if _ADDRESS_WORD.search(before):
        return True
    # 1.2.3.4 is more likely a section or a version than an address; networks of offices and homes begin with 10.
    return (
        (max(parts) > 31 or parts[0] == 10)
        and not _VERSION.search(before)
        and not re.match(r" ?版", found.string[found.end("it") :])
    )


def _ipv6(found: Match) -> bool:
    text = found["it"]
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return False
    groups = text.split(":")
    telling = any(len(group) > 2 for group in groups) and any(char.isdigit() for char in text)
    return telling and not address.is_loopback and not address.is_unspecified


def _qq(found: Match) -> bool:
    number = found["it"]
    plain = not re.search(r"[:号號是为為加]", found["said"])
    return not (plain and len(number) == 8 and _is_date(number))


_NO_NAMES = re.compile(
    r"(?:iphone|ipad|ipod|android|windows|symbian|macbook|macos|wechat|weixin|official|wap|http|www|app|web|samsung|"
    r"xiaomi|huawei|version|beta|login|public|payment)[a-z0-9]{0,4}",
    re.IGNORECASE,
)


def _wechat(found: Match) -> bool:
    name, said = found["it"], found["said"]
    if _NO_NAMES.fullmatch(name):
        return False
    named = bool(re.search(r"[:号號是为為加]|ID|id", said))
    return named or not name.isalpha()


# ---- the rules

#: What the patterns below name in braces.
_PIECES = {
    "PHONE": r"""(?=[(+0-9])(?: (?<![0-9A-Za-z_～~])(?<![0-9A-Za-z]-)(?<![0-9]\.)
        | (?<=tel)|(?<=Tel)|(?<=TEL)|(?<=hone)|(?<=obile)|(?<=mob)|(?<=QQ)|(?<=qq)|(?<=[VvWw][Xx]) )""",
    "END": r"(?![0-9A-Za-z_]|-[0-9A-Za-z]|\.[0-9A-Za-z])",
    "COUNTRY": r"(?:\(?(?:\+|00)?\(?86\)?[ -]{0,2})?",
    "AREA": r"(?:10|2[0-57-9]|[3-9]\d\d)",
    "EXTENSION": r"(?:[ ]?(?:-|转|轉|分机|[Ee]xt\.?|\#)[ ]?\d{1,5}(?![0-9]))?",
    "CN": "零〇一二三四五六七八九幺",
    "SAID": r"(?P<said>(?:号码?|號碼?|群号?|交流群|同号|账号|帐号|ID|id|[是为為:/加( ]|手机|电话|微信|QQ|qq){0,4})",
    "UNITS": _UNITS,
    "LINK": r"(?:[A-Za-z0-9\-._~%!$&'*+,;=:@/?\#]*[A-Za-z0-9/_\#=&~-])",
    "TLD": r"(?:com|cn|net|org|cc|me|io|tv|info|top|vip|xyz|hk|tw)",
}


@dataclass(frozen=True)
class Rule:
    """A pattern whose group `it` is a detail of this kind if `check` agrees; without a kind it keeps others off.

    A text without any of the characters in `needs` holds nothing of it, and needs no search; nor does one that doesn't
    fit `loose`, the pattern as polars can search for it in a column.
    """

    kind: str
    needs: frozenset[str]
    pattern: Pattern
    loose: str
    check: Callable[[Match], bool] | None = None


def _rule(kind: str, needs: str, pattern: str, check: Callable[[Match], bool] | None = None) -> Rule:
    for name, piece in _PIECES.items():
        pattern = pattern.replace(f"{{{name}}}", piece)
    return Rule(kind, frozenset(needs), re.compile(pattern, re.VERBOSE | re.ASCII), loosened(pattern), check)


_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?<?[=!]|\(\?P=\w+\)|\(\?P<\w+>|\(\?:|\s+|.", re.DOTALL)


def loosened(pattern: str) -> str:
    """A verbose pattern without what Rust's regex lacks: what stands around a match is left out, and a group that must
    come again may come as another text of its form. It fits every text in which the pattern finds something.
    """
    kept: list[str] = []
    opened: list[tuple[str, int]] = []  # the name of each open group ("" for none, "?" around a match), and its start
    groups: dict[str, str] = {}
    for token in _TOKEN.findall(pattern):
        if token.startswith("(?P="):
            kept.append(f"(?:{groups[token[4:-1]]})")
        elif token.startswith("("):
            name = token[4:-1] if token.startswith("(?P<") else "?" if token[-1] in "=!" else ""
            opened.append((name, len(kept)))
            kept.append("(?:")
        elif token == ")":
            name, start = opened.pop()
            kept.append(token)
            groups[name] = "".join(kept[start:])
            if name == "?":
                del kept[start:]
        elif not token.isspace():
            kept.append(token.replace(r"\d", "0-9" if token.startswith("[") else "[0-9]"))
    return "".join(kept)


_DIGITS = "0123456789"
#: In this order: what an earlier rule has found, a later one can't claim.
RULES = (
    _rule(
        "email",
        "@",
        r"""(?<![0-9A-Za-z_.%+-])
        (?P<it>[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.)+[A-Za-z]{2,18})
        (?![A-Za-z0-9])""",
        _email,
    ),
    _rule(
        "email",
        "(#",
        r"""(?<![0-9A-Za-z_.%+-])
        (?P<it>[A-Za-z0-9][A-Za-z0-9._%+-]{2,63}(?: [ ]?\([Aa][Tt]\)[ ]? | \# )
            (?:qq|163|126|139|189|vip|gmail|sina|sohu|yeah|foxmail|hotmail|outlook)\.(?:com|net|cn)(?:\.cn)?)
        (?![A-Za-z0-9])""",
    ),
    _rule("url", "/", r"(?P<it>(?:[Hh][Tt]{2}[Pp][Ss]?|[Ff][Tt][Pp])://{LINK})"),
    _rule("url", "Ww", r"(?<![A-Za-z0-9.@-])(?P<it>[Ww]{3}\.[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*(?:/{LINK}?)?)"),
    # Without http:// only a page: the bare name of a site (taobao.com) is nobody's.
    _rule(
        "url", "/", r"(?<![A-Za-z0-9.@-])(?P<it>(?:[A-Za-z0-9][A-Za-z0-9-]*\.)+{TLD}(?:\.cn)?(?::\d{2,5})?/{LINK}?)"
    ),
    _rule(
        "id_card",
        _DIGITS,
        r"(?<!\d)(?P<it>[1-9]\d{5}(?P<by>[ -]?)(?:19|20)\d{6}(?P=by)\d{3}[\dXx])(?!\d)",
        _id_card,
    ),
    # Numbers of before 1999 have no check digit: a word must say what they are.
    _rule("id_card", _DIGITS, r"(?:身份[证證]|[证證]件)[^0-9\n]{0,8}(?P<it>\d{15})(?![0-9A-Za-z])", _old_id_card),
    _rule(
        "bank_card",
        _DIGITS,
        r"""(?<![0-9A-Za-z_])(?<![0-9][.-])
        (?P<it>\d{14,19} | \d{4}(?P<by>[ -])\d{4}(?P=by)\d{4}(?P=by)\d{3,4}(?:(?P=by)\d{1,3})? | \d{6}[ -]\d{10,13})
        (?![0-9A-Za-z_]|[.-]\d)""",
        _bank_card,
    ),
    _rule(
        "",
        _DIGITS,
        r"(?<!\d)(?P<it>[48]00(?: [ -]?\d{3}[ -]?\d{4} | [ -]?\d{4}[ -]?\d{3} | -\d-\d{3}-\d{3} ))(?!\d)",
    ),
    _rule(
        "mobile",
        _DIGITS,
        r"""{PHONE}
        (?P<it>{COUNTRY}0?1[3-9](?:
            \d(?P<by>[ ]{1,2}|[.-]?)\d{4}(?P=by)\d{4} | \d\d[ -]\d{3}[ -]\d{4} | \d[ -]\d{3}[ -]\d{5}
            | \d[ -]\d{8} | \d{5}[ -]\d{4}
        ))
        (?:{END} | (?=[VvWw][Xx]?(?![A-Za-z])|[Qq]{2}))""",
        _mobile,
    ),
    _rule("mobile", "一幺", r"(?<![{CN}十百千万亿点])(?P<it>[一幺][三四五六七八九][{CN}]{9})(?![{CN}十百千万亿])"),
    _rule(
        "landline",
        _DIGITS,
        r"""{PHONE}
        (?P<it>(?:\+|00)86[ -]?(?:\(0\))?0?{AREA}[ -]?[2-9]\d{2,3}[ -]?\d{4}{EXTENSION}){END}""",
        _landline,
    ),
    _rule(
        "landline",
        _DIGITS,
        r"""{PHONE}
        (?P<it>(?: (?:\(0{AREA}\)|0{AREA}-)[ -]?[1-9] | 0(?:10|2[0-57-9])[ ][1-9] | 0{AREA}[ ][2-8] )
            \d{2,3}[ -]?\d{4}{EXTENSION}){END}""",
        _landline,
    ),
    _rule(
        "landline",
        _DIGITS,
        r"{PHONE}(?P<it>0(?: (?:10|2[0-57-9])[2-8]\d{7} | [3-9]\d\d[2-8]\d{6,7} ){EXTENSION}){END}",
        _landline,
    ),
    _rule(
        "landline",
        _DIGITS,
        r"""(?:电话|電話|座机|座機|固话|传真|傳真|[Tt][Ee][Ll]|[Ff][Aa][Xx])(?:号码?|號碼?)?[是为為]?[:. ]{0,2}
        (?P<it>[2-8]\d{2,3}[ -]?\d{4}{EXTENSION})(?![0-9A-Za-z]|-\d|\.\d|{UNITS})""",
        _landline,
    ),
    _rule(
        "ip",
        ".",
        r"(?<![0-9A-Za-z.])(?P<it>(?:(?:0|[1-9]\d{0,2})\.){3}(?:0|[1-9]\d{0,2}))(?![0-9A-Za-z]|\.[0-9])",
        _ipv4,
    ),
    _rule(
        "ip",
        ":",
        r"""(?: (?<![0-9A-Za-z:.]) | (?<=[^0-9A-Za-z:.]:) | (?<=[Pp]:) | (?<=[Vv]6:) )
        (?P<it>(?!:[^:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![0-9A-Za-z:.])""",
        _ipv6,
    ),
    _rule(
        "qq",
        _DIGITS,
        r"""(?: (?<![A-Za-z0-9])(?:[Qq]{2}|[Qq](?=:|群)) | 扣扣|叩叩|企鹅号? | [加+][Qq](?![A-Za-z]) )
        {SAID}(?P<it>[1-9]\d{4,10})(?![0-9A-Za-z_]|[.-]\d|{UNITS})""",
        _qq,
    ),
    _rule("wechat", "x", r"(?<![A-Za-z0-9_])(?P<it>wxid_[A-Za-z0-9]{6,})(?![A-Za-z0-9_])"),
    _rule(
        "wechat",
        "信VvWwXx❤♥",
        r"""(?<!官方)(?<!公众)(?<!企业)
        (?: 微信|薇信|威信|[Vv]信 | [微薇VvWw][❤♥] | [加+][Vv](?=[: ])
            | (?<![A-Za-z0-9])(?:[Ww]e[Cc]hat|WECHAT|[Ww]ei[Xx]in|[VvWw][Xx]) )
        {SAID}(?P<it>[A-Za-z][A-Za-z0-9_-]{5,19} | (?<=[:号號])[1-9]\d{5,10})
        (?![A-Za-z0-9_@./]|[ ]?(?:版|客户端|系统|平台|支付|小程序|公众))""",
        _wechat,
    ),
)
