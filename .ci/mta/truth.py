#!/usr/bin/env python3
"""truth.py DIR [--keep CORPUS]: the truth about the notices that catch left in DIR, as a table on standard output:
file, kind, recipients, status, reasons. It is known from the failure that we made (X-Scenario of the returned mail, looked
up in scenarios.tsv and in HERE below), not from reading the notice; only whether it warns or gives up is read, from its
subject or first words. With --keep, a part (see `kept`) goes to CORPUS/caught-MTA/NN.eml, and the table is about these files.
Prints the table. Needs Python 3.9. Exit: 0; 1 = a notice of which nothing is known."""
import os
import re
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
# What we made without an answer of the far server: recipients, status, reasons (any of them is right).
HERE = {
    'two': ('unknown@mail.test full@mail.test', '5.1.1 5.2.2', 'user-unknown;mailbox-full'),
    'nobody': ('nosuchuser@local.test', '5.1.1', 'user-unknown'),
    'pipe': ('broken@local.test', '5.3.0', 'mailer-error'),
    'mailer': ('nobody@sendmail.example.test', '-', 'mailer-error,expired'),
    'loop': ('loops@local.test', '5.4.6', 'network-error'),
    'nohost': ('x@none.test', '5.1.2', 'domain-unknown'),
    'nosystem': ('x@err.test', '5.1.2', 'domain-unknown'),
    'nodns': ('x@servfail.test', '4.4.3', 'dns-failure,expired'),
    'dead': ('x@dead.test', '4.4.1', 'network-error,expired'),
    'fine': ('fine@mail.test', '2.0.0', '-'),
}
# Exim says `Unrouteable address` for both, so that no reader can tell which it was.
UNROUTEABLE = {'nobody', 'nohost'}
SOFT = {'grey': 'greylisted,expired', 'rate': 'rate-limited,expired'}
SCENARIOS = [row.rstrip('\n').split('\t') for row in open(f'{FOLDER}/scenarios.tsv', encoding='utf-8') if row[0] != '#']
NAMES = [row[0] for row in SCENARIOS]
SERVER = {'postfix': 'Postfix', 'exim': 'Exim', 'sendmail': 'sendmail', 'opensmtpd': 'OpenSMTPD', 'dma': 'DragonFly Mail Agent', 'nullmailer': 'nullmailer'}
# A third or less of the failures for each server, so that each failure comes from two of them.
PART = {'postfix': (3, 0), 'exim': (3, 1), 'sendmail': (3, 2), 'opensmtpd': (4, 0), 'dma': (5, 1), 'nullmailer': (5, 2)}


def read(path):
    text = open(path, 'rb').read().replace(b'\r\n', b'\n').decode('latin1')
    name = re.search(r'^X-Scenario: (\w+)', text, re.M)
    subject = re.search(r'^Subject: (.*)', text, re.M).group(1)
    name = name.group(1) if name else sys.exit(f'{path}: returns no mail of ours')
    # OpenSMTPD calls the end of its patience a delay, and tells no other reason then.
    expired = 'Envelope expired' in text
    kind = 'failure'
    if name == 'fine':
        kind = 'success'
    elif 'A final delivery status notification will be' in text:
        kind = 'delay'
    elif re.search(r'^(Delayed Mail|Warning: )|: delayed$', subject) and not expired:
        kind = 'delay'
    if name in HERE:
        recipients, status, reasons = HERE[name]
        if name in UNROUTEABLE and '/exim/' in path:
            return text, name, kind, recipients, '-', 'user-unknown,domain-unknown'
        return text, name, kind, recipients, status, reasons
    _, _, _, status, reason = SCENARIOS[NAMES.index(name)]
    reason = SOFT.get(name, f'{reason},expired' if expired else reason)
    return text, name, kind, f'{name}@mail.test', status, reason


def kept(mta, name, kind, seen):
    """Every failure of the server itself, a part of those of the far server, and one warning."""
    if kind == 'delay':
        return name in ('grey', 'dead') and (name, kind) not in seen
    step, first = PART[mta]
    return name in HERE or NAMES.index(name) % step == first


def main():
    top, corpus = sys.argv[1], sys.argv[3] if sys.argv[2:3] == ['--keep'] else None
    print('# file\tkind\trecipients\tstatus\treasons (`,` any of them; `;` one for each recipient)')
    for mta in sorted(os.listdir(top)):
        count, seen = 0, set()
        for file in sorted(os.listdir(f'{top}/{mta}')):
            text, name, kind, recipients, status, reasons = read(f'{top}/{mta}/{file}')
            place = f'{mta}/{file}'
            if corpus:
                if not kept(mta, name, kind, seen):
                    continue
                seen.add((name, kind))
                count += 1
                place = f'caught-{mta}/{count:02}.eml'
                os.makedirs(f'{corpus}/caught-{mta}', exist_ok=True)
                open(f'{corpus}/{place}', 'wb').write(text.encode('latin1'))
                said = 'warns' if kind == 'delay' else 'tells' if kind == 'success' else 'gives up'
                with open(f'{corpus}/{place[:-3]}expect', 'w', encoding='utf-8') as f:
                    f.write(f'# shape from: {SERVER[mta]} itself, caught by .ci/mta/catch: {name}, it {said}\n')
            print(place, kind, recipients, status, reasons, sep='\t')


if len(sys.argv) not in (2, 4):
    sys.exit(print(__doc__, file=sys.stderr) or 2)
main()
