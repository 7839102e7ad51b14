#!/usr/bin/env python3
"""panels.py names|rules|schema|live PROMETHEUS: what .ci/dashboards asks of config/monitoring. Run in the root
of the repository.

names: each metric and label that a dashboard, alert or rule asks for is one of docs/interface.md or of rules.yml.
rules: prints the expressions of all panels as a rules file, for promtool.
schema: prints the dashboards as TypeScript that checks them by the types of Grafana (.ci/monitoring/schema.ts).
live: each panel gets an answer from a Prometheus that scrapes a running bounced.
Exit: 0; 1 = something is wrong, each on a line. Needs Python 3.10, PyYAML."""
import json
import pathlib
import re
import sys
import urllib.parse
import urllib.request

import yaml

MONITORING = pathlib.Path('config/monitoring')
# What Prometheus knows itself.
OF_PROMETHEUS = {'up': set(), 'ALERTS': {'alertname', 'alertstate', 'severity'}}
EVERYWHERE = {'instance', 'job', 'le'}
WORDS = {'sum', 'min', 'max', 'by', 'rate', 'increase', 'max_over_time', 'topk', 'sort_desc', 'time', 'histogram_quantile', 'and', 'or', 'on',
         'offset'}
# Panels without an answer while all is well, or on the first day.
MAY_BE_EMPTY = {'a day before', '{{instance}} {{what}}'}


def boards():
    return {file.stem: json.loads(file.read_text()) for file in sorted((MONITORING / 'dashboards').glob('*.json'))}


def panels():
    """Dashboard, panel and query of each; what fires is a query of the dashboard itself."""
    for name, board in boards().items():
        for note in board['annotations']['list']:
            yield name, note['name'], {'expr': note['expr'], 'legendFormat': note['titleFormat']}
        for panel in board['panels']:
            for target in panel.get('targets', []):
                yield name, panel['title'], target


def rules():
    for file in ('rules.yml', 'alerts.yml'):
        for group in yaml.safe_load((MONITORING / file).read_text())['groups']:
            yield from group['rules']


def documented():
    """Metrics of docs/interface.md and the labels of each."""
    text = pathlib.Path('docs/interface.md').read_text().split('\n## Metrics\n')[1].split('\n## ')[0]
    found = {}
    for line in text.splitlines():
        cells = line.split('|')
        if len(cells) < 6 or not cells[1].startswith(' `'):
            continue
        for metric in re.findall('`([^`]+)`', cells[1]):
            labels = set(re.findall('`([^`]+)`', cells[3]))
            for suffix in ('_bucket', '_sum', '_count') if cells[2].strip() == 'histogram' else ('',):
                found[metric + suffix] = labels
    if len(found) < 50:
        sys.exit('docs/interface.md: the table of metrics is not read')
    return found


def words_of(expr):
    """The names in an expression: of metrics, labels, functions. Text in quotes and durations are no names."""
    plain = re.sub(r'"[^"]*"|\[[^\]]*\]|\boffset \w+|\$\w+', ' ', expr)
    return set(re.findall(r'(?<![\w.])[a-zA-Z_:][\w:]*', plain))


def names():
    metrics = {**documented(), **OF_PROMETHEUS}
    for rule in rules():
        if 'record' in rule:
            metrics[rule['record']] = set(','.join(re.findall(r'by \(([^)]*)\)', rule['expr'])).replace(' ', '').split(','))
    asked = [(f'{board}, {title}', target['expr'], target.get('legendFormat', '')) for board, title, target in panels()]
    asked += [(rule.get('alert') or rule['record'], rule['expr'], '') for rule in rules()]
    wrong, used = [], set()
    for where, expr, legend in asked:
        words = words_of(expr) - WORDS
        mine = words & set(metrics)
        used |= mine
        labels = EVERYWHERE.union(*(metrics[metric] for metric in mine))
        strange = (words - mine | set(re.findall(r'{{(\w+)}}', legend))) - labels
        if strange or not mine:
            wrong.append(f'{where}: {", ".join(sorted(strange)) or "no metric"}: not in docs/interface.md, rules.yml or the '
                         f'labels of {", ".join(sorted(mine)) or "a metric"}')
    for board, content in boards().items():
        for variable in content['templating']['list']:
            for metric, label in re.findall(r'label_values\((\w+), (\w+)\)', variable.get('definition', '')):
                if label not in metrics.get(metric, set()) | EVERYWHERE:
                    wrong.append(f'{board}, ${variable["name"]}: {metric} has no {label}')
    unused = sorted(rule['record'] for rule in rules() if rule.get('record') and rule['record'] not in used)
    wrong += [f'{record} of rules.yml is asked for by nothing' for record in unused]
    return wrong, f'{len(asked)} expressions ask for {len(used)} metrics, all of them there'


def filled(expr):
    """As Grafana sends it with all instances and providers chosen."""
    for variable, value in {'$__rate_interval': '1m', '$__range': '5m', '$instance': '.*', '$provider': '.*'}.items():
        expr = expr.replace(variable, value)
    return expr


def as_rules():
    return yaml.safe_dump({'groups': [{'name': board, 'rules': [
        {'record': f'panel:{place}', 'expr': filled(target['expr'])}
        for place, (name, _, target) in enumerate(panels()) if name == board]} for board in boards()]})


def schema():
    yield "import type { GrafanaDashboard } from './schema';"
    for name, board in boards().items():
        yield f'export const {name.replace("-", "_")}: GrafanaDashboard = {json.dumps(board)};'
    # What a checker does not see it does not check: each of these must be seen.
    for fault in (lambda b: b.update(titel='a misspelt key'), lambda b: b['panels'][0].update(targets=[{'expr': 'up'}]),
                  lambda b: b['panels'][0]['options'].update(graphMode='aera'),
                  lambda b: b['panels'][-1]['fieldConfig']['defaults'].update(custom={'lineWidht': 1}),
                  lambda b: b['templating']['list'][0].update(type='query-of')):
        board = json.loads(json.dumps(boards()['bounced-overview']))
        fault(board)
        yield f'// @ts-expect-error\nvoid ({json.dumps(board)} satisfies GrafanaDashboard);'


def live(prometheus):
    wrong, answered, empty = [], 0, []
    for board, title, target in panels():
        where = f'{board}, {title}, {target["legendFormat"]}'
        url = f'{prometheus}/api/v1/query?' + urllib.parse.urlencode({'query': filled(target['expr'])})
        try:
            with urllib.request.urlopen(url) as answer:
                result = json.load(answer)['data']['result']
        except urllib.error.HTTPError as error:
            wrong.append(f'{where}: {json.load(error)["error"]}')
            continue
        shown = set(re.findall(r'{{(\w+)}}', target['legendFormat']))
        missing = shown - set(result[0]['metric']) if result else set()
        if missing:
            wrong.append(f'{where}: the answer has no {", ".join(missing)}')
        answered += bool(result)
        if not result and target['legendFormat'] not in MAY_BE_EMPTY and 'firing' not in target['expr']:
            empty.append(where)
    wrong += [f'{where}: no answer' for where in empty]
    return wrong, f'{answered} queries of panels were answered'


def main():
    match sys.argv[1:]:
        case ['names']:
            wrong, good = names()
        case ['rules']:
            return print(as_rules())
        case ['schema']:
            return print('\n'.join(schema()))
        case ['live', prometheus]:
            wrong, good = live(prometheus)
        case _:
            sys.exit(print(__doc__, file=sys.stderr) or 2)
    if wrong:
        sys.exit('\n'.join(wrong))
    print(good)


main()
