#!/usr/bin/env python3
"""judge.py WORK TRUTH BINARY: the last part of .ci/compare. Runs the three tools on WORK/set and prints the table.
Reasons of Sisimai count as right when they are any word that it has for ours (WORDS). flufl.bounce tells addresses only.
Needs flufl.bounce in this Python (else its row is missing), perl with Sisimai, and the binary. Exit: 0; 1 = a false failure of bounced."""
import email
import json
import os
import subprocess
import sys
import time

WORK, TRUTH, BINARY = sys.argv[1:4]
SET = f'{WORK}/set'
HERE = os.path.dirname(os.path.abspath(__file__))
HARD = {'user-unknown', 'mailbox-inactive', 'address-moved', 'address-syntax', 'domain-unknown', 'domain-no-mail'}
SOFT = {'mailbox-full', 'system-full', 'mailer-error', 'network-error', 'dns-failure', 'expired', 'message-too-large',
        'rate-limited', 'greylisted'}
# Ours -> every word that Sisimai 4 or 5 has for it; where it has none, those that come nearest.
WORDS = {
    'user-unknown': 'userunknown', 'mailbox-inactive': 'suspend', 'address-moved': 'hasmoved userunknown',
    'domain-unknown': 'hostunknown', 'domain-no-mail': 'notaccept hostunknown', 'mailbox-full': 'mailboxfull',
    'system-full': 'systemfull', 'mailer-error': 'mailererror', 'network-error': 'networkerror',
    'dns-failure': 'networkerror hostunknown', 'expired': 'expired', 'message-too-large': 'mesgtoobig exceedlimit',
    'rate-limited': 'toomanyconn speeding ratelimited blocked', 'blocked': 'blocked badreputation',
    'greylisted': 'toomanyconn speeding ratelimited blocked', 'reputation': 'badreputation blocked',
    'sender-rejected': 'rejected', 'reverse-dns': 'requireptr blocked', 'policy': 'policyviolation',
    'auth-failure': 'authfailure securityerror policyviolation blocked', 'spam-content': 'spamdetected',
    'attachment': 'policyviolation contenterror securityerror', 'virus': 'virusdetected',
    'relaying-denied': 'norelaying',
}


def ours():
    out = subprocess.run([BINARY, 'classify', '--json', SET], capture_output=True, text=True, check=True).stdout
    said = {}
    for line in out.splitlines():
        one = json.loads(line)
        to = {r['address']: (r['reason'], r['category'] == 'hard', r['category']) for r in one['recipients']}
        said[os.path.basename(one['source'])] = (one['kind'], to)
    return said


def sisimai():
    out = subprocess.run(['perl', f'{HERE}/sisimai.pl', SET], capture_output=True, text=True, check=True).stdout
    said = {}
    for line in out.splitlines():
        file, address, reason, soft, action = (line.split('\t') + [''])[:5]
        kind = 'delay' if action == 'delayed' else 'success' if action in ('delivered', 'relayed', 'expanded') else 'failure'
        kind = 'other' if reason in ('vacation', 'feedback') else kind
        said.setdefault(file, (kind, {}))[1][address.lower()] = (reason, soft == '0', None)
    return said


def flufl():
    import logging
    from flufl.bounce import all_failures
    logging.disable()
    said = {}
    for file in sorted(os.listdir(SET)):
        with open(f'{SET}/{file}', 'rb') as f:
            message = email.message_from_binary_file(f)
        try:
            temporary, permanent = all_failures(message)
        except (AttributeError, TypeError, ValueError) as e:  # 6.0.0 does on a From that is not ASCII
            print(f'flufl: raises {type(e).__name__}: {file}', file=sys.stderr)
            temporary, permanent = set(), set()
        to = {a.decode('latin1').lower(): (None, None, None) for a in temporary | permanent}
        kind = 'failure' if permanent else 'delay' if temporary else 'other'
        said[file] = (kind, to)
    return said


def score(name, tool, truth):
    best = None
    for _ in range(3):
        start = time.monotonic()
        said = tool()
        seconds = time.monotonic() - start
        best = seconds if best is None else min(best, seconds)
    right = dict.fromkeys(('recipients', 'reason', 'hard', 'category'), 0)
    total = dict.fromkeys(right, 0)
    false = []

    def note(what, ok, file, detail):
        total[what] += 1
        right[what] += ok
        if not ok:
            print(f'{name}: {what}: {file}: {detail}', file=sys.stderr)

    for file, (kind, want) in truth.items():
        got_kind, got = said.get(file, ('other', {}))
        if kind in ('failure', 'delay'):
            note('recipients', set(got) == set(want), file, f'{sorted(got)}, not {sorted(want)}')
        if kind == 'failure':
            for address, reasons in want.items() if name != 'flufl' else ():
                reason, hard, category = got.get(address, (None, None, None))
                words = reasons if name == 'bounced' else {w for r in reasons for w in WORDS[r].split()}
                note('reason', reason in words, file, f'{reason}, not {sorted(reasons)}')
                note('hard', got_kind == 'failure' and hard == bool(reasons & HARD), file, f'{got_kind}, hard {hard}')
                if name == 'bounced':
                    wanted = {'hard' if r in HARD else 'soft' if r in SOFT else 'block' for r in reasons}
                    note('category', category in wanted, file, f'{category}, not {sorted(wanted)}')
        elif got_kind == 'failure':
            false.append(file)
    for file in false:
        print(f'{name}: false failure: {file} is {truth[file][0]}', file=sys.stderr)
    return right, total, len(false), best


def main():
    truth = {}
    for row in open(TRUTH, encoding='utf-8'):
        if row[0] == '#':
            continue
        file, kind, recipients, _, reasons = row.rstrip('\n').split('\t')
        to = recipients.split()
        each = reasons.split(';') if ';' in reasons else [reasons] * len(to)
        truth[file.replace('/', '+')] = (kind, {a: set(r.split(',')) for a, r in zip(to, each)})
    caught = len(truth)
    for file in os.listdir(SET):
        truth.setdefault(file, ('no notice', {}))
    version = subprocess.run(['perl', '-MSisimai', '-e', 'print $Sisimai::VERSION'], capture_output=True, text=True).stdout
    own = subprocess.run([BINARY, '--version'], capture_output=True, text=True).stdout.split()[-1]
    tools = [('bounced', f'bounced {own}', ours), ('Sisimai', f'Sisimai {version.lstrip("v")} (Perl)', sisimai)]
    try:
        from importlib.metadata import version as of
        tools.append(('flufl', f'flufl.bounce {of("flufl.bounce")}', flufl))
    except ImportError:
        print('flufl.bounce is not here: its row is missing', file=sys.stderr)
    failures = sum(kind == 'failure' for kind, _ in truth.values())
    print(f'{caught} notices ({failures} failures) and {len(truth) - caught} messages that are none:\n')
    print('| | recipients | reason | hard or not | hard, soft or block | called a failure wrongly | seconds for all |')
    print('|---|---|---|---|---|---|---|')
    worst = 0
    for name, shown, tool in tools:
        right, total, false, seconds = score(name, tool, truth)
        share = [f'{right[k]} of {total[k]}' if total[k] else 'not told' for k in right]
        print(f'| {shown} | {" | ".join(share)} | {false} | {seconds:.2f} |')
        worst = false if name == 'bounced' else worst
    sys.exit(worst > 0)


main()
