#!/usr/bin/env python3
"""far.py FILE: the rest of the world in .ci/hookups, at 1.2.3.2 (sendmail of Debian refuses the
documentation ranges). Port 25 takes mail for everybody but those whose
name begins with "gone", and writes a line into FILE for each: SENDER RECIPIENT. UDP port 53 knows every name of the
top-level domain test: mx.NAME is its MX, and the address of all of them is 1.2.3.2.
Prints nothing; runs until it is killed. Needs Python 3.9."""
import asyncio
import re
import struct
import sys

if len(sys.argv) != 2:
    sys.exit(print(__doc__, file=sys.stderr) or 2)
HERE = '1.2.3.2'
TAKEN = open(sys.argv[1], 'a', buffering=1, encoding='latin1')


async def session(reader, writer):
    def say(text):
        writer.write(text.encode() + b'\r\n')
    say('220 mx.far.test ESMTP')
    sender, recipients = '', []
    while line := await reader.readline():
        command = line.decode('latin1').strip()
        verb = command[:4].upper()
        if verb == 'EHLO':
            say('250-mx.far.test\r\n250-8BITMIME\r\n250 SIZE 20000000')
        elif verb == 'MAIL':
            sender, recipients = re.search(r'<(.*?)>', command).group(1), []
            say('250 2.1.0 ok')
        elif verb == 'RCPT':
            to = re.search(r'<(.*?)>', command).group(1)
            if to.startswith('gone'):
                say('550 5.1.1 no such user here')
            else:
                recipients.append(to)
                say('250 2.1.5 ok')
        elif verb == 'DATA' and recipients:
            say('354 go on')
            while (await reader.readline()) not in (b'.\r\n', b''):
                pass
            for to in recipients:
                print(sender or '<>', to, file=TAKEN)
            say('250 2.0.0 taken')
        elif verb == 'DATA':
            say('503 5.5.1 no valid recipients')
        elif verb == 'QUIT':
            say('221 2.0.0 bye')
            break
        else:
            say('250 2.0.0 ok')
        await writer.drain()
    writer.close()


def name(text):
    return b''.join(bytes([len(part)]) + part.encode() for part in text.split('.')) + b'\0'


class Names(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, question, peer):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode('latin1').lower())
            at += 1 + question[at]
        kind, end = struct.unpack('>H', question[at + 1:at + 3])[0], at + 5
        asked = '.'.join(labels)
        answers = b''
        if labels[-1:] == ['test'] and kind == 1:
            answers = b'\xc0\x0c' + struct.pack('>HHIH', 1, 1, 60, 4) + bytes(map(int, HERE.split('.')))
        elif labels[-1:] == ['test'] and kind == 15 and labels[0] != 'mx':
            target = b'\0\x0a' + name(f'mx.{asked}')
            answers = b'\xc0\x0c' + struct.pack('>HHIH', 15, 1, 60, len(target)) + target
        code = 0 if labels[-1:] == ['test'] else 3
        head = question[:2] + struct.pack('>HHHHH', 0x8580 | code, 1, 1 if answers else 0, 0, 0)
        self.transport.sendto(head + question[12:end] + answers, peer)


async def main():
    server = await asyncio.start_server(session, HERE, 25)
    await asyncio.get_running_loop().create_datagram_endpoint(Names, local_addr=(HERE, 53))
    await server.serve_forever()

asyncio.run(main())
