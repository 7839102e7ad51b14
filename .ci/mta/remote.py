#!/usr/bin/env python3
"""remote.py PORT DIR: the far side of .ci/mta/catch, on 127.0.0.1:PORT. It answers mail as the local part of
its recipient asks (scenarios.tsv), and keeps in DIR/N.eml what comes for bounces@bounce.example.test.
On UDP port 53 it knows no name at all, and fails for servfail.test. Prints nothing; runs until it is killed. Needs Python 3.9."""
import asyncio
import itertools
import os
import re
import sys

if len(sys.argv) != 3:
    sys.exit(print(__doc__, file=sys.stderr) or 2)
PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'scenarios.tsv')
SCENARIOS = {}
for row in open(TABLE, encoding='utf-8'):
    if row.strip() and not row.startswith('#'):
        name, where, reply = row.rstrip('\n').split('\t')[:3]
        SCENARIOS[name] = (where, reply)
COUNT = itertools.count(1)


def keep(text, sender):
    with open(f'{FOLDER}/{next(COUNT):03}.eml', 'wb') as f:
        f.write(b'Return-Path: <' + sender.encode() + b'>\r\n' + text)


def answer(to):
    """Where and how a recipient is refused; None when it is taken."""
    found = SCENARIOS.get(to.split('@')[0].lower())
    return found and (found[0], found[1].format(to=to).replace('|', '\r\n') + '\r\n')


async def session(reader, writer):
    def say(text):
        writer.write(text.encode() if text.endswith('\r\n') else f'{text}\r\n'.encode())
    say('220 mx.mail.test ESMTP')
    sender, accepted, at_dot = '', [], None
    while line := await reader.readline():
        command = line.decode('latin1').strip()
        verb = command[:4].upper()
        if verb == 'EHLO':
            say('250-mx.mail.test\r\n250-8BITMIME\r\n250 SIZE 20000000')
        elif verb == 'MAIL':
            sender, accepted, at_dot = re.search(r'<(.*?)>', command).group(1), [], None
            say('250 2.1.0 ok')
        elif verb == 'RCPT':
            to = re.search(r'<(.*?)>', command).group(1)
            refusal = answer(to)
            if refusal and refusal[0] == 'rcpt':
                say(refusal[1])
            else:
                at_dot = refusal[1] if refusal else at_dot
                accepted.append(to)
                say('250 2.1.5 ok')
        elif verb == 'DATA' and not accepted:
            say('503 5.5.1 no valid recipients')
        elif verb == 'DATA':
            say('354 go on')
            text = b''
            while (piece := await reader.readline()) not in (b'.\r\n', b''):
                text += piece[1:] if piece.startswith(b'.') else piece
            if any(to.startswith('bounces') for to in accepted):
                keep(text, sender)
            say(at_dot or '250 2.0.0 taken')
        elif verb == 'QUIT':
            say('221 2.0.0 bye')
            break
        else:
            say('250 2.0.0 ok')
        await writer.drain()
    writer.close()


class Names(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, question, peer):
        code = 2 if b'\x08servfail' in question.lower() else 3
        self.transport.sendto(question[:2] + bytes([0x81, 0x80 | code]) + question[4:6] + bytes(6) + question[12:].split(b'\0\0\x29')[0], peer)


async def main():
    await asyncio.get_running_loop().create_datagram_endpoint(Names, local_addr=('127.0.0.1', 53))
    server = await asyncio.start_server(session, '127.0.0.1', PORT, limit=1 << 24)
    async with server:
        await server.serve_forever()

asyncio.run(main())
