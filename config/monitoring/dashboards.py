#!/usr/bin/env python3
"""dashboards.py [--check]: makes config/monitoring/dashboards/*.json, which Grafana 10 or newer reads
(Dashboards, New, Import; or from a folder, as config/compose does). With --check nothing is written: a
file that is not as it would be made is named. Wants rules.yml in Prometheus.

Change a dashboard here, run this, and check in both; `.ci/dashboards` tries every panel.
Exit: 0; 1 = --check found a difference. Needs Python 3.9."""
import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).parent / 'dashboards'
SOURCE = {'type': 'prometheus', 'uid': '${datasource}'}
WIDTH = 24
PER_HOUR = 3600

RED, ORANGE, YELLOW, GREEN, BLUE, PURPLE, GREY = (
    'semi-dark-red', 'semi-dark-orange', 'semi-dark-yellow', 'semi-dark-green', 'semi-dark-blue',
    'semi-dark-purple', '#8e8e8e')
# One colour for a word, on every panel.
CATEGORIES = {'hard': RED, 'soft': YELLOW, 'block': ORANGE, 'admin': BLUE, 'undetermined': PURPLE}
KINDS = {'failure': RED, 'delay': YELLOW, 'success': GREEN, 'complaint': PURPLE, 'auto-reply': BLUE,
         'other': GREY}
ANSWERS = {'hit': RED, 'held': YELLOW, 'miss': GREEN, 'error': PURPLE}
STATES = {'suppressed': RED, 'held': YELLOW}
OUTCOMES = {'delivered': GREEN, 'failed': YELLOW, 'gave-up': RED}


def query(expr, legend='', instant=False, table=False):
    return {'refId': 'A', 'datasource': SOURCE, 'expr': expr, 'legendFormat': legend or '__auto',
            'editorMode': 'code', 'instant': instant, 'range': not instant,
            'format': 'table' if table else 'time_series'}


def lettered(targets):
    return [{**target, 'refId': chr(ord('A') + place)} for place, target in enumerate(targets)]


def steps(levels):
    """`levels`: (from, colour), the first one from the lowest value on."""
    return {'mode': 'absolute', 'steps': [{'value': value, 'color': colour} for value, colour in levels]}


def coloured(colours):
    return [{'matcher': {'id': 'byName', 'options': word},
             'properties': [{'id': 'color', 'value': {'mode': 'fixed', 'fixedColor': colour}}]}
            for word, colour in colours.items()]


def graph(title, description, *targets, unit='short', width=8, height=8, stack=False, colours=None,
          alert=None, top=None):
    """A panel over time. `alert`: where an alert of alerts.yml begins, drawn as a line."""
    custom = {'drawStyle': 'line', 'lineInterpolation': 'linear', 'lineWidth': 1,
              'fillOpacity': 60 if stack else 8, 'showPoints': 'never', 'spanNulls': False,
              'stacking': {'mode': 'normal' if stack else 'none', 'group': 'A'},
              'thresholdsStyle': {'mode': 'off' if alert is None else 'dashed'}}
    defaults = {'unit': unit, 'min': 0, 'color': {'mode': 'palette-classic-by-name'}, 'custom': custom}
    if alert is not None:
        defaults['thresholds'] = steps([(None, 'transparent'), (alert, RED)])
    if top is not None:
        defaults['max'] = top
    return {'type': 'timeseries', 'title': title, 'description': description, 'datasource': SOURCE,
            'gridPos': {'w': width, 'h': height}, 'targets': lettered(targets),
            'fieldConfig': {'defaults': defaults, 'overrides': coloured(colours or {})},
            'options': {'legend': {'displayMode': 'list', 'placement': 'bottom', 'showLegend': True,
                                   'calcs': []},
                        'tooltip': {'mode': 'multi', 'sort': 'desc'}}}


def number(title, description, expr, levels, unit='short', width=3, empty='none', legend=''):
    """One number of now, with its colour. `empty`: what stands there without a series."""
    return {'type': 'stat', 'title': title, 'description': description, 'datasource': SOURCE,
            'gridPos': {'w': width, 'h': 4}, 'targets': lettered([query(expr, legend)]),
            'fieldConfig': {'defaults': {'unit': unit, 'noValue': empty, 'thresholds': steps(levels),
                                         'color': {'mode': 'thresholds'}}, 'overrides': []},
            'options': {'graphMode': 'area', 'colorMode': 'value', 'justifyMode': 'auto',
                        'textMode': 'auto', 'wideLayout': True, 'showPercentChange': False,
                        'percentChangeColorMode': 'standard', 'orientation': 'auto',
                        'reduceOptions': {'values': False, 'calcs': ['lastNotNull'], 'fields': ''}}}


def table(title, description, expr, columns, width=12, height=8, unit='short', sort=None):
    """Rows of now. `columns`: label -> heading, in order; 'Value' is the number."""
    keep = {'include': {'names': list(columns)}}
    order = {name: place for place, name in enumerate(columns)}
    return {'type': 'table', 'title': title, 'description': description, 'datasource': SOURCE,
            'gridPos': {'w': width, 'h': height}, 'targets': lettered([query(expr, instant=True, table=True)]),
            'transformations': [{'id': 'filterFieldsByName', 'options': keep},
                                {'id': 'organize', 'options': {'indexByName': order,
                                                               'renameByName': columns}}],
            'fieldConfig': {'defaults': {'noValue': 'none', 'custom': {'align': 'auto', 'inspect': False}},
                            'overrides': [{'matcher': {'id': 'byName', 'options': columns.get('Value', '')},
                                           'properties': [{'id': 'unit', 'value': unit},
                                                          {'id': 'decimals', 'value': 0}]}]},
            'options': {'frameIndex': 0, 'showHeader': True, 'cellHeight': 'sm',
                        'sortBy': [{'displayName': sort, 'desc': True}] if sort else []}}


def row(title):
    return {'type': 'row', 'title': title, 'collapsed': False, 'panels': [], 'gridPos': {'w': WIDTH, 'h': 1}}


def laid_out(panels):
    """Gives each panel its number and its place: from left to right, then below."""
    x = y = tallest = 0
    for place, panel in enumerate(panels, 1):
        width, height = panel['gridPos']['w'], panel['gridPos']['h']
        if x + width > WIDTH:
            x, y, tallest = 0, y + tallest, 0
        panel['id'] = place
        panel['gridPos'] = {'x': x, 'y': y, 'w': width, 'h': height}
        x, tallest = x + width, max(tallest, height)
    return panels


def choice(name, label, values_of):
    return {'type': 'query', 'name': name, 'label': label, 'datasource': SOURCE,
            'definition': f'label_values({values_of}, {name})',
            'query': {'query': f'label_values({values_of}, {name})', 'refId': name},
            'includeAll': True, 'multi': True, 'allValue': '.*', 'refresh': 2, 'sort': 1,
            'current': {'selected': True, 'text': ['All'], 'value': ['$__all']}}


def dashboard(uid, title, description, panels, choices=(), since='now-24h'):
    source = {'type': 'datasource', 'name': 'datasource', 'label': 'Prometheus', 'query': 'prometheus'}
    # What fires is a mark on every panel.
    firing = {'name': 'Alerts', 'enable': True, 'iconColor': RED, 'datasource': SOURCE,
              'expr': 'ALERTS{alertname=~"Bounced.*", alertstate="firing"}', 'step': '60s',
              'titleFormat': '{{alertname}}', 'tagKeys': 'instance,severity'}
    others = {'title': 'Other dashboards of bounced', 'type': 'dashboards', 'icon': 'external link',
              'tooltip': '', 'tags': ['bounced'], 'asDropdown': False, 'targetBlank': False,
              'includeVars': True, 'keepTime': True}
    return {'uid': uid, 'title': title, 'description': description, 'tags': ['bounced'],
            'schemaVersion': 39, 'version': 1, 'editable': True, 'graphTooltip': 1, 'timezone': 'browser',
            'refresh': '1m', 'time': {'from': since, 'to': 'now'}, 'links': [others],
            'annotations': {'list': [firing]}, 'templating': {'list': [source, *choices]},
            'panels': laid_out(panels)}


OVERVIEW = dashboard(
    'bounced-overview', 'bounced: overview', 'What comes in, what it means, and what is held back.', [
        number('Up', 'Instances that answer.', 'sum(up{job="bounced"})', [(None, RED), (1, GREEN)]),
        number('Suppressed', 'Addresses that must not be mailed. The machines of one list have it all, so the '
               'largest of them is shown.', 'max(bounced_suppressions{state="suppressed"})', [(None, BLUE)]),
        number('Held', 'Suppressions that a guard made wait.', 'max(bounced_suppressions{state="held"})',
               [(None, GREEN), (1, YELLOW)]),
        number('Guards tripped', 'Providers or scopes that fail far above what is expected of them: docs/runbook.md, '
               'BouncedGuardTripped.', 'max(bounced_guards_tripped)', [(None, GREEN), (1, ORANGE)]),
        number('Unknown wordings', 'Share of the refusals of an hour in words that no rule knows; `bounced unknown` '
               'lists them. An alert begins at 10 %.', 'bounced:undetermined:share1h',
               [(None, GREEN), (0.05, YELLOW), (0.1, RED)], unit='percentunit', empty='no refusals'),
        number('Damage', 'Damaged records of the journal, and losses or doubts that last: docs/runbook.md, '
               'BouncedJournalDamaged.', 'sum(bounced_journal_damaged_records_total) + sum(bounced_trouble)',
               [(None, GREEN), (1, RED)]),
        number('Certificate', 'Until the first certificate of STARTTLS ends. An alert begins at 7 days.',
               'min(bounced_certificate_expiry_timestamp_seconds) - time()',
               [(None, RED), (7 * 86400, YELLOW), (21 * 86400, GREEN)], unit='s', empty='no TLS'),
        number('Disk free', 'Under the data directory with the least. An alert begins at 1 GiB.',
               'min(bounced_disk_free_bytes)', [(None, RED), (1 << 30, YELLOW), (5 << 30, GREEN)], unit='bytes'),
        graph('Messages an hour, by kind', 'Answered 250 after DATA, duplicates included.',
              query(f'bounced:messages:rate5m * {PER_HOUR}', '{{kind}}'), width=12, stack=True, colours=KINDS),
        graph('Refusals an hour, by category', 'hard: the address is dead. soft: this may pass. block: we were '
              'refused. admin: a sending service stopped it. undetermined: not known.',
              query(f'bounced:verdicts:rate1h * {PER_HOUR}', '{{category}}'), width=12, stack=True,
              colours=CATEGORIES),
        graph('Refusals an hour, by provider', 'The ten providers that refuse most.',
              query(f'topk(10, sum by (provider) (rate(bounced_refusals_total[1h]))) * {PER_HOUR}',
                    '{{provider}}'), stack=True),
        graph('The list', 'Addresses that are suppressed or held.',
              query('max by (state) (bounced_suppressions)', '{{state}}'), colours=STATES),
        graph('Changes of the list an hour', 'New suppressions, later ends, what guards held, releases. An end by '
              'time alone is no change.',
              query(f'sum by (op) (rate(bounced_suppression_changes_total[1h])) * {PER_HOUR}', '{{op}}'),
              colours={'add': RED, 'extend': ORANGE, 'hold': YELLOW, 'release': GREEN}),
        graph('Lookups a second, by what they found', 'hit: suppressed. held: wait. miss: send. error: the asker was '
              'told to try again.',
              query('sum by (result) (rate(bounced_lookups_total[$__rate_interval]))', '{{result}}'), unit='reqps',
              colours=ANSWERS),
        graph('Guards tripped', 'How many hold suppressions back.', query('max(bounced_guards_tripped)', 'guards'),
              colours={'guards': ORANGE}, alert=1),
        graph('Unknown wordings', 'Share of the refusals that no rule knows. The line is where an alert begins.',
              query('bounced:undetermined:share1h', 'share'), unit='percentunit', alert=0.1,
              colours={'share': PURPLE}),
        table('Alerts now', 'Each has an entry of its name in docs/runbook.md.',
              'ALERTS{alertname=~"Bounced.*"}',
              {'alertname': 'alert', 'alertstate': 'state', 'severity': 'severity', 'instance': 'instance'}),
        graph('Refused at the SMTP port, an hour', 'What was not taken, by why.',
              query(f'sum by (reason) (rate(bounced_smtp_rejections_total[1h]) > 0) * {PER_HOUR}', '{{reason}}'),
              width=12),
    ])

MAIL = dashboard(
    'bounced-mail', 'bounced: who refuses', 'Refusals by provider, category and class: what a provider says of us.', [
        graph('Refusals an hour, by provider', 'Providers are from a closed table; all others are `other`.',
              query(f'sum by (provider) (rate(bounced_refusals_total{{provider=~"$provider"}}[1h])) * {PER_HOUR}',
                    '{{provider}}'), width=12, height=9, stack=True),
        graph('Refusals an hour, by category', 'Of the providers that are chosen above.',
              query(f'sum by (category) (rate(bounced_refusals_total{{provider=~"$provider"}}[1h])) * {PER_HOUR}',
                    '{{category}}'), width=12, height=9, stack=True, colours=CATEGORIES),
        table('Refusals by provider and category', 'In the time that is shown.',
              'sort_desc(sum by (provider, category) (increase(bounced_refusals_total{provider=~"$provider"}'
              '[$__range])) > 0)',
              {'provider': 'provider', 'category': 'category', 'Value': 'refusals'}, height=10, sort='refusals'),
        table('Verdicts by class', 'Of all providers, in the time that is shown; docs/taxonomy.md explains the '
              'classes.',
              'sort_desc(sum by (class, category) (increase(bounced_verdicts_total[$__range])) > 0)',
              {'class': 'class', 'category': 'category', 'Value': 'verdicts'}, height=10, sort='verdicts'),
        graph('Share that blocks us', 'Of the refusals of each provider in an hour, how many refuse us and not the '
              'address: reputation, authentication, content.',
              query('sum by (provider) (rate(bounced_refusals_total{provider=~"$provider", category="block"}[1h]))'
                    ' / (sum by (provider) (rate(bounced_refusals_total{provider=~"$provider"}[1h])) > 0)',
                    '{{provider}}'), unit='percentunit', top=1),
        graph('Hard, beside the day before', 'An alert begins at five times as many with more than 50 in an hour.',
              query(f'sum(rate(bounced_verdicts_total{{category="hard"}}[1h])) * {PER_HOUR}', 'now'),
              query(f'sum(rate(bounced_verdicts_total{{category="hard"}}[1h] offset 1d)) * {PER_HOUR}',
                    'a day before'), colours={'now': RED, 'a day before': GREY}),
        graph('Complaints and requests to leave, an hour', 'Each of them suppresses in its scope.',
              query(f'sum by (kind) (rate(bounced_messages_total{{kind=~"complaint|unsubscribe"}}[1h])) * {PER_HOUR}',
                    '{{kind}}'), colours=KINDS),
        graph('Duplicates an hour', 'Messages that came again and made no second event.',
              query(f'sum(rate(bounced_duplicates_total[1h])) * {PER_HOUR}', 'duplicates')),
        graph('Rules on trial, an hour', 'Verdicts of rules.shadow_dir beside the ones that count.',
              query(f'sum by (verdict) (rate(bounced_shadow_verdicts_total[1h])) * {PER_HOUR}', '{{verdict}}'),
              colours={'same': GREEN, 'different': ORANGE}),
        graph('Forged or expired return paths, a second', 'Refused at RCPT. An alert begins at one a second.',
              query('sum by (reason) (rate(bounced_smtp_rejections_total{reason=~"verp_.*"}[10m]))', '{{reason}}'),
              unit='reqps', alert=1),
    ], [choice('provider', 'Provider', 'bounced_refusals_total')], since='now-7d')

HERE = 'instance=~"$instance"'


def quantiles(metric, by=''):
    """Half of them and 99 of 100 are faster than this."""
    group = f'{by}, le' if by else 'le'
    legend = f'{{{{{by}}}}} ' if by else ''
    return [query(f'histogram_quantile({share}, sum by ({group}) (rate({metric}_bucket{{{HERE}}}'
                  f'[$__rate_interval])))', f'{legend}p{round(share * 100)}') for share in (0.5, 0.99)]


SERVICE = dashboard(
    'bounced-service', 'bounced: the service', 'Latency, the journal, the machine, connections, webhooks, many '
    'machines.', [
        row('Answers'),
        graph('Commit', 'From handing an event over until it is durable. An alert begins at p99 of a second.',
              *quantiles('bounced_commit_seconds'), query('bounced:commit:p99_5m', 'p99, all instances'), unit='s',
              alert=1),
        graph('One sync of the journal', 'fdatasync: how fast the disk is.',
              *quantiles('bounced_fsync_duration_seconds'), unit='s'),
        graph('Lookup, by protocol', 'From the request to its answer.',
              *quantiles('bounced_lookup_duration_seconds', 'protocol'),
              query('bounced:lookup:p99_5m', 'p99, all instances'), unit='s'),
        graph('Lookups that end in an error', 'Share of all. An alert begins at 1 %.',
              query('bounced:lookup_errors:share5m', 'share'), unit='percentunit', alert=0.01,
              colours={'share': RED}),
        graph('Lookups a second, by protocol', '',
              query(f'sum by (protocol) (rate(bounced_lookups_total{{{HERE}}}[$__rate_interval]))', '{{protocol}}'),
              unit='reqps'),
        graph('Reading and judging a message', '', *quantiles('bounced_parse_duration_seconds'), unit='s'),
        row('Journal and list'),
        graph('Commits that failed, a second', 'Mail was answered 451 and comes again.',
              query(f'sum by (instance) (rate(bounced_commit_failures_total{{{HERE}}}[$__rate_interval]))',
                    '{{instance}}'), unit='ops'),
        graph('Since the last commit', 'Grows while no mail comes.',
              query(f'time() - bounced_last_commit_timestamp_seconds{{{HERE}}} '
                    f'and bounced_last_commit_timestamp_seconds{{{HERE}}} > 0', '{{instance}}'), unit='s'),
        graph('Events a sync', 'How many are made durable at once: half of the syncs, and 99 of 100.',
              *quantiles('bounced_commit_batch_size')),
        graph('Damage', 'Damaged records, and losses or doubts that last, by what.',
              query(f'bounced_journal_damaged_records_total{{{HERE}}}', '{{instance}} records'),
              query(f'max by (instance, what) (bounced_trouble{{{HERE}}}) > 0', '{{instance}} {{what}}'), alert=1),
        graph('The view is behind', 'Events that it does not hold yet; lookups look at those too. An alert begins at '
              '10,000.', query(f'bounced_store_lag_events{{{HERE}}}', '{{instance}}'), alert=10000),
        graph('Sizes', '', query(f'bounced_journal_bytes{{{HERE}}}', '{{instance}} journal'),
              query(f'bounced_store_bytes{{{HERE}}}', '{{instance}} view'), unit='bytes'),
        graph('Disk free', 'Under the data directory. An alert begins below 1 GiB.',
              query(f'bounced_disk_free_bytes{{{HERE}}}', '{{instance}}'), unit='bytes', alert=1 << 30),
        graph('Events a second', 'By how fast the journal grows.',
              query(f'rate(bounced_journal_last_sequence{{{HERE}}}[$__rate_interval])', '{{instance}}'), unit='ops'),
        graph('Clock in doubt, reload refused', '1 while it lasts.',
              query(f'bounced_clock_in_doubt{{{HERE}}}', '{{instance}} clock in doubt'),
              query(f'1 - bounced_config_reload_success{{{HERE}}}', '{{instance}} reload refused'), top=1, alert=1),
        row('Connections'),
        graph('Open SMTP and LMTP connections', '', query(f'bounced_smtp_connections{{{HERE}}}', '{{instance}}')),
        graph('Connections that ended, a second', 'By how.',
              query(f'sum by (outcome) (rate(bounced_smtp_connections_total{{{HERE}}}[$__rate_interval]))',
                    '{{outcome}}'), unit='ops', stack=True),
        graph('SMTP replies a second', 'By the first digit.',
              query(f'sum by (code) (rate(bounced_smtp_commands_total{{{HERE}}}[$__rate_interval]))', '{{code}}'),
              unit='ops', stack=True),
        graph('TLS handshakes a second', '',
              query(f'sum by (result) (rate(bounced_tls_handshakes_total{{{HERE}}}[$__rate_interval]))', '{{result}}'),
              unit='ops', colours={'failed': RED}),
        graph('Certificates', 'How long each is still good. An alert begins at 7 days.',
              query(f'bounced_certificate_expiry_timestamp_seconds{{{HERE}}} - time()', '{{instance}} {{name}}'),
              unit='s', alert=7 * 86400),
        graph('Length of connections', '', *quantiles('bounced_smtp_session_duration_seconds'), unit='s'),
        graph('HTTP requests a second', 'By status.',
              query(f'sum by (code) (rate(bounced_http_requests_total{{{HERE}}}[$__rate_interval]))', '{{code}}'),
              unit='reqps', stack=True),
        graph('HTTP answers', 'From the header to the start of the answer.',
              *quantiles('bounced_http_request_duration_seconds'), unit='s'),
        graph('Open HTTP and lookup connections, and refused ones', 'Closed for want of places, a second.',
              query(f'sum(bounced_http_connections{{{HERE}}})', 'http'),
              query(f'sum(bounced_lookup_connections{{{HERE}}})', 'lookup'),
              query(f'sum by (port) (rate(bounced_connections_refused_total{{{HERE}}}[$__rate_interval]))',
                    '{{port}} refused a second')),
        row('Webhooks'),
        graph('Backlog', 'Records of the journal that an endpoint was not told of yet.',
              query(f'bounced_webhook_backlog{{{HERE}}}', '{{endpoint}}')),
        graph('Oldest that was not told', 'An alert begins at a quarter of an hour.',
              query(f'bounced_webhook_oldest_seconds{{{HERE}}}', '{{endpoint}}'), unit='s', alert=900),
        graph('Deliveries a second', 'Attempts, by what became of them.',
              query(f'sum by (outcome) (rate(bounced_webhook_deliveries_total{{{HERE}}}[$__rate_interval]))',
                    '{{outcome}}'), unit='ops', colours=OUTCOMES),
        row('Many machines (docs/cluster.md)'),
        graph('Behind the shared journal', 'For how long a node has not had all of it. An alert begins at 30 seconds.',
              query(f'bounced_ledger_lag_seconds{{{HERE}}}', '{{instance}}'), unit='s', alert=30),
        graph('Waiting for the turn to append', '99 of 100 wait less. An alert begins at 2 seconds.',
              query(f'bounced:engine_head_wait:p99_5m{{{HERE}}}', '{{instance}}'), unit='s', alert=2),
        graph('What PostgreSQL did not do, an hour', 'By class.',
              query(f'sum by (class) (rate(bounced_engine_errors_total{{{HERE}}}[1h])) * {PER_HOUR}', '{{class}}')),
        graph('Age of the newest shared checkpoint', 'An alert begins at three days, when 400,000 records came since.',
              query(f'bounced_engine_checkpoint_age_seconds{{{HERE}}}', '{{instance}}'), unit='s', alert=259200),
        graph('Nodes that differ; 250s that a failover may lose', 'Above 0, see /readyz.',
              query(f'bounced_engine_warnings{{{HERE}}}', '{{instance}} warnings'),
              query(f'1 - bounced_engine_synchronous{{{HERE}}}', '{{instance}} asynchronous'), alert=1),
        row('Process'),
        graph('Processors', 'How many are busy.',
              query(f'rate(process_cpu_seconds_total{{job="bounced", {HERE}}}[$__rate_interval])', '{{instance}}')),
        graph('Memory', '', query(f'process_resident_memory_bytes{{job="bounced", {HERE}}}', '{{instance}}'),
              unit='bytes'),
        graph('Descriptors', 'Share of what the process may open.',
              query(f'process_open_fds{{job="bounced", {HERE}}} / process_max_fds{{job="bounced", {HERE}}}',
                    '{{instance}}'), unit='percentunit', top=1),
        table('Versions', '', 'bounced_build_info',
              {'instance': 'instance', 'version': 'version', 'revision': 'revision'}, height=6),
        graph('Uptime', '', query(f'time() - process_start_time_seconds{{job="bounced", {HERE}}}', '{{instance}}'),
              unit='s', width=12, height=6),
    ], [choice('instance', 'Instance', 'bounced_build_info')])


def main():
    if sys.argv[1:] not in ([], ['--check']):
        sys.exit(print(__doc__, file=sys.stderr) or 2)
    wanted = {FOLDER / f'{board["uid"]}.json': json.dumps(board, indent=1, ensure_ascii=False) + '\n'
              for board in (OVERVIEW, MAIL, SERVICE)}
    if '--check' in sys.argv:
        there = set(FOLDER.glob('*.json')) | set(wanted)
        differ = sorted(f.name for f in there if not f.exists() or f.read_text() != wanted.get(f))
        if differ:
            sys.exit(f'not as config/monitoring/dashboards.py makes them: {", ".join(differ)}')
        print(f'{len(wanted)} dashboards are as they are made')
        return
    FOLDER.mkdir(exist_ok=True)
    for stale in set(FOLDER.glob('*.json')) - set(wanted):
        stale.unlink()
    for file, text in wanted.items():
        file.write_text(text)


main()
