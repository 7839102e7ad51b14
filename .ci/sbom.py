#!/usr/bin/env python3
"""sbom.py: prints what the binary is made of, as CycloneDX 1.6: each crate with its version, checksum, licence and what
it needs. `required` is in the binary, `excluded` only works when it is compiled; what only tests use is left out
(cargo-cyclonedx takes features of tests for features of the binary). The same commit gives the same text.
Run in the root of the repository. Needs cargo, git, Python 3.11."""
import json
import pathlib
import re
import subprocess
import tomllib
from datetime import datetime, timezone

TARGET = 'x86_64-unknown-linux-gnu'


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def crates(edges):
    lines = run('cargo', 'tree', '--locked', '--edges', edges, '--target', TARGET, '--prefix', 'none', '--format', '{p}')
    return {tuple(line.split()[:2]) for line in lines.splitlines()}


def purl(name, version):
    return f'pkg:cargo/{name}@{version}'


def licence(package):
    """As SPDX wants it today: a slash was its OR."""
    return re.sub(r'\s*/\s*', ' OR ', package['license'].replace('X11', 'MIT'))


def main():
    metadata = json.loads(run('cargo', 'metadata', '--format-version', '1', '--locked', '--filter-platform', TARGET))
    packages = {package['id']: package for package in metadata['packages']}
    sums = {(p['name'], p['version']): p.get('checksum') for p in tomllib.loads(pathlib.Path('Cargo.lock').read_text())['package']}
    linked, needed = crates('normal,no-proc-macro'), crates('normal,build')
    own = packages[metadata['resolve']['root']]

    def key(package):
        return package['name'], 'v' + package['version']

    def component(package):
        checksum = sums[package['name'], package['version']]
        found = {'type': 'library', 'bom-ref': purl(package['name'], package['version']), 'name': package['name'],
                 'version': package['version'], 'description': ' '.join((package['description'] or '').split()),
                 'scope': 'required' if key(package) in linked else 'excluded',
                 'hashes': [{'alg': 'SHA-256', 'content': checksum}],
                 'licenses': [{'expression': licence(package)}], 'purl': purl(package['name'], package['version'])}
        if package['repository']:
            found['externalReferences'] = [{'type': 'vcs', 'url': package['repository']}]
        return found

    others = sorted((p for p in packages.values() if key(p) in needed and p is not own), key=lambda p: (p['name'], p['version']))
    if {key(p) for p in others} | {key(own)} != needed:
        raise SystemExit('cargo tree and cargo metadata name different crates')
    edges = []
    for node in metadata['resolve']['nodes']:
        package = packages[node['id']]
        if key(package) not in needed:
            continue
        on = {(packages[dep['pkg']]['name'], packages[dep['pkg']]['version']) for dep in node['deps']
              if any(kind['kind'] != 'dev' for kind in dep['dep_kinds']) and key(packages[dep['pkg']]) in needed}
        edges.append({'ref': purl(*(package[k] for k in ('name', 'version'))), 'dependsOn': sorted(purl(*one) for one in on)})
    when = datetime.fromtimestamp(int(run('git', 'log', '-1', '--format=%ct')), timezone.utc)
    root = {'type': 'application', 'bom-ref': purl(own['name'], own['version']), 'name': own['name'], 'version': own['version'],
            'description': own['description'], 'licenses': [{'expression': own['license']}],
            'purl': purl(own['name'], own['version'])}
    print(json.dumps({
        '$schema': 'http://cyclonedx.org/schema/bom-1.6.schema.json', 'bomFormat': 'CycloneDX', 'specVersion': '1.6', 'version': 1,
        'metadata': {'timestamp': when.strftime('%Y-%m-%dT%H:%M:%SZ'), 'component': root,
                     'tools': {'components': [{'type': 'application', 'name': 'cargo', 'version': run('cargo', '--version').split()[1]}]},
                     'properties': [{'name': 'cdx:rustc:sbom:target:triple', 'value': TARGET}]},
        'components': [component(package) for package in others],
        'dependencies': sorted(edges, key=lambda edge: edge['ref'])}, indent=1))


main()
