"""Both ways of a session answer whatever is said with the same octets.

Lines that parsers read differently are said to two gateways over one database, one of each way,
and what comes back is compared.
"""

import re

import pytest

from gateway.smtpd.limits import Limits
from tests.gateway.live import LiveGateway, live_gateway
from tests.gateway.stage import Stage

# Said in one write between EHLO and QUIT; {MAIL} is MAIL and RCPT, {to} an alias.
SAID = {
    "capitals and small letters": b"mail from:<>\r\nrcpt to:<{to}>\r\nrset\r\nnoop\r\nvrfy a\r\n",
    "spaces at the end": b"MAIL FROM:<> \r\nRCPT TO:<{to}>  \r\nRSET \r\nNOOP \r\n",
    "spaces at the beginning": b" NOOP\r\n  MAIL FROM:<>\r\n",
    "spaces within": b"MAIL  FROM:<>\r\nRSET\r\nMAIL FROM: <>\r\nRCPT  TO: <{to}>\r\nRSET  \r\n",
    "tabs": b"NOOP\t\r\nMAIL\tFROM:<>\r\nMAIL FROM:\t<>\r\nMAIL FROM:<>\t\r\nRSET\t\r\nDATA\t\r\n",
    "nothing after the verb": b"MAIL\r\nMAIL \r\nRCPT\r\nBDAT\r\nVRFY\r\nEXPN\r\nHELP\r\nEHLO\r\n",
    "arguments where none belong": b"NOOP x\r\nRSET x\r\nDATA x\r\nSTARTTLS x\r\nHELP x\r\n",
    "no line ends but LF": b"NOOP\nMAIL FROM:<>\nRCPT TO:<{to}>\nDATA\nx\r\n.\r\n",
    "bare CR, doubled CR": b"NOOP\r\r\nNOOP\rNOOP\r\n\r\r\n\rNOOP\r\n",
    "NUL": b"NOOP\0\r\n\0NOOP\r\nMAIL FROM:<\0>\r\nNO\0OP\r\n",
    "no text": b"\xff\xfe\r\nNOOP \xff\r\nEHLO \xff\r\nMAIL FROM:<\xff@x.example>\r\n\xc3\xa9\r\n",
    "verbs with something on them": b"NOOP:\r\nMAIL:FROM:<>\r\nDATA;\r\nRSET,\r\n__init__\r\n",
    "parts of aiosmtpd": b"smtp_NOOP\r\n_handle_client\r\nEXCEPTION\r\nsession\r\n",
    "two paths": b"MAIL FROM:<> <>\r\n{MAIL}RCPT TO:<{to}> <{to}>\r\nRCPT TO:<{to}><>\r\n",
    "out of order": b"RCPT TO:<{to}>\r\nDATA\r\nBDAT 3\r\nx\r\n{MAIL}MAIL FROM:<>\r\nDATA\r\n.\r\n",
    "HELO amid a transaction": b"{MAIL}EHLO a.example\r\nDATA\r\n{MAIL}HELO b\r\nDATA\r\n",
    "a lone dot, dots": b"{MAIL}DATA\r\n.\r\nNOOP\r\n.\r\n..\r\n",
    "content that looks like commands": b"{MAIL}DATA\r\nQUIT\r\n.QUIT\r\n..\r\n.\r\nNOOP\r\n",
    "bare ends in content": b"{MAIL}DATA\r\nx\n.\r\nQUIT\r\n.\r\nNOOP\r\n",
    "chunks": b"{MAIL}BDAT 3\r\na\r\nbdat 4 last\r\nb\nc\nNOOP\r\n",
    "chunks that are none": b"BDAT -1\r\nBDAT 1 2\r\nBDAT LAST\r\nBDAT 1e3\r\nBDAT \xc2\xb2\r\n",
    "lines at their limit": b"NOOP " + b"x" * 2043 + b"\r\nNOOP " + b"x" * 2044 + b"\r\nNOOP\r\n",
    "a line far beyond it": b"NOOP " + b"x" * 200_000 + b"\r\nNOOP\r\n",
    "sizes": b"MAIL FROM:<> SIZE=\xc2\xb2\r\nMAIL FROM:<> SIZE=-1\r\nMAIL FROM:<> SIZE=9e3\r\n",
    "parameters": b"MAIL FROM:<> a=b\r\nMAIL FROM:<> BODY=7BIT BODY=7BIT\r\nMAIL FROM:<> =\r\n",
    "names": b"EHLO\r\nEHLO a b\r\nHELO a b\r\nEHLO [1.2.3.4]\r\nEHLO -\r\nHELO a\x1bb\r\n",
    "not offered": b"AUTH\r\nAUTH LOGIN\r\nETRN x\r\nTURN\r\nSEND\r\nSTARTTLS\r\nXCLIENT A=B\r\n",
}
_VARYING = re.compile(rb"queued as \S+")


def answers(gateway: LiveGateway, said: bytes) -> bytes:
    """All that comes back up to the end of the connection."""
    with gateway.connect() as wire:
        wire.write(said + b"QUIT\r\n")
        heard = b"".join(iter(lambda: wire.connection.recv(65536), b""))
    return _VARYING.sub(b"queued", heard)


@pytest.mark.usefixtures("database", "socket_enabled")
@pytest.mark.parametrize("said", SAID.values(), ids=SAID.keys())
def test_both_ways_answer_the_same_octets(stage: Stage, said: bytes):
    stage.alias("hello")
    begin = b"MAIL FROM:<>\r\nRCPT TO:<{to}>\r\n"
    octets = said.replace(b"{MAIL}", begin).replace(b"{to}", stage.address("hello").encode())
    limits = Limits(delay_seconds=0)

    with live_gateway(limits=limits) as plain, live_gateway(limits=limits, is_plain=False) as other:
        heard = answers(plain, octets)

        assert heard == answers(other, octets)
    assert heard.endswith(b"\r\n")
    assert b"4.3.0" not in heard
