// The pages in Chromium; see .ci/browser. pages.js BASE [SHOTS]
const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { chromium } = require('playwright-core');

const [base, shots] = process.argv.slice(2);
const axe = fs.readFileSync(require.resolve('axe-core'), 'utf8');
const token = (role) => `${role}-token`;

// Each would leave a mark or ask, if it ran.
const SCRIPTS = [
  '<script>window.ran=1;alert(1)</script>',
  '"><img src=x onerror="window.ran=1;alert(1)">',
  "' onfocus='window.ran=1' autofocus='",
  '</title></textarea></pre><svg onload="window.ran=1">',
  '\u202ejavascript:alert(1)//',
];

function api(method, to, body, type = 'application/json') {
  const headers = { authorization: `Bearer ${token('admin')}`, 'content-type': type };
  return fetch(base + to, { method, headers, body });
}

// A stranger's message, result and address with a script in whatever they can fill.
async function poison() {
  for (const [n, script] of SCRIPTS.entries()) {
    const one = script.replace(/[\r\n]/g, ' ');
    const local = `"${one.replace(/["\\]/g, '\\$&')}"`;
    const said = `550 5.1.1 no such user ${one}`;
    const mail = [
      `From: ${one} <mailer-daemon@evil.test>`, `Subject: ${one}`, `Message-ID: <${n}${one}@evil.test>`, 'MIME-Version: 1.0',
      'Content-Type: multipart/report; report-type=delivery-status; boundary="b"', '', '--b', 'Content-Type: text/plain', '', one,
      '', '--b', 'Content-Type: message/delivery-status', '', `Reporting-MTA: dns; ${one}`, '',
      `Final-Recipient: rfc822; ${local}@evil.test`, 'Action: failed', 'Status: 5.1.1', `Remote-MTA: dns; ${one}`,
      `Diagnostic-Code: smtp; ${said}`, '', '--b', 'Content-Type: message/rfc822', '', `Subject: ${one}`,
      `Message-ID: <o${n}${one}@our.test>`, `To: ${local}@evil.test`, '', one, '--b--', '',
    ].join('\r\n');
    const stored = await api('POST', '/v1/messages', mail, 'message/rfc822');
    assert.equal(stored.status, 200, await stored.text());
    const address = `victim${n}@evil.test`;
    const results = ['failed', 'sent'].map((outcome) => ({
      outcome, address, message_id: one, campaign: one, remote_mta: one, scope: 'evil',
      reply: outcome === 'failed' ? (n % 2 ? said : `550 zorgblat ${one}`) : undefined,
    }));
    const told = await api('POST', '/v1/events', JSON.stringify(results));
    assert.equal(told.status, 200, await told.text());
    const put = await api('PUT', `/v1/suppressions/${encodeURIComponent(address)}`, JSON.stringify({ reason: one, scope: 'evil' }));
    assert.equal(put.status, 200, await put.text());
  }
}

async function logIn(page, role) {
  await page.goto(base + '/suppressions');
  assert.match(page.url(), /\/login\?next=/, 'a stranger is led to the log-in');
  await page.fill('input[name=token]', 'wrong');
  await page.click('button');
  assert.match(await page.textContent('[role=alert]'), /not one of ours/);
  await page.fill('input[name=token]', token(role));
  await page.click('button');
  assert.equal(new URL(page.url()).pathname, '/suppressions', 'and back to where they went');
}

async function search(page, text) {
  await page.fill('input[name=q]', text);
  await page.click('form[role=search] button');
}

async function use(browser) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await logIn(page, 'write');
  const [cookie] = await context.cookies();
  assert.ok(cookie.httpOnly && cookie.sameSite === 'Lax', JSON.stringify(cookie));

  // Search: a piece of an address, then the page that explains it.
  const { entries } = await (await api('GET', '/v1/suppressions?limit=200&scope=*&class=invalid-recipient')).json();
  const { address } = entries.find((one) => one.state === 'suppressed' && !one.address.includes('evil'));
  await search(page, address.slice(0, -4));
  await page.click(`main a:has-text("${address.split('@')[0]}")`);
  assert.match(await page.textContent('h1'), new RegExp(`${address}\\s+suppressed`));
  assert.match(await page.textContent('main'), /Mail to this address is refused/);
  assert.ok(await page.locator('mark').count() > 0, 'the words that decided are marked');

  // Release, with a reason that stands in the journal.
  await page.fill('section input[name=reason]', 'they called us');
  await page.click('button:has-text("Release in")');
  assert.match(await page.textContent('[role=status]'), /Released/);
  assert.equal((await api('GET', `/v1/suppressions/${address}`)).status, 404);
  // Suppress by hand, in one scope, until a day.
  await page.click('summary:has-text("Suppress by hand")');
  await page.selectOption('details select[name=scope]', 'news');
  await page.fill('input[name=until]', '2099-01-02');
  await page.fill('details input[name=reason]', 'asked us to <b>stop</b>');
  await page.click('button:has-text("Suppress")');
  assert.match(await page.textContent('[role=status]'), /Suppressed/);
  assert.match(await page.textContent('main'), /asked us to <b>stop<\/b>/);
  const entry = await (await api('GET', `/v1/suppressions/${address}?scope=news`)).json();
  assert.equal(entry.until, '2099-01-02T00:00:00Z');

  // An id, a Message-ID, nothing.
  await page.click('table a[href^="/event?"]');
  const id = await page.textContent('dd');
  await search(page, id);
  assert.equal(await page.locator('main tbody tr').count() > 0, true, `${id} is found`);
  await search(page, 'nothing-like-this');
  assert.match(await page.textContent('main'), /Nothing found/);

  // A rule in the making is tried and kept nowhere.
  await page.goto(base + '/unknown');
  await page.click('a:has-text("make a rule") >> nth=0');
  await page.click('button:has-text("Try it")');
  assert.match(await page.textContent('[role=status]'), /reports were judged again[^]*undetermined/);

  // Who may write may not end a guard; nor may another site with this session.
  await page.goto(base + '/health');
  assert.equal(await page.locator('button:has-text("End this guard")').count(), 0);
  const forged = await page.request.post(base + '/address/release', { form: { address, scope: 'news', reason: 'x' } });
  assert.equal(forged.status(), 403, 'a form without its code');
  const foreign = await page.request.post(base + '/address/release', {
    form: { address, scope: 'news', reason: 'x', csrf: 'x' }, headers: { origin: 'https://evil.test' } });
  assert.equal(foreign.status(), 403, 'a form of another site');
  const put = await page.request.put(`${base}/v1/suppressions/a@b.test?reason=x`);
  assert.equal(put.status(), 401, 'a session changes nothing by the API');

  await page.click('button:has-text("Log out")');
  await page.goto(base + '/');
  assert.match(page.url(), /\/login/, 'logged out');

  // Who may read sees no form; who may administrate ends the guard.
  await logIn(page, 'read');
  await page.goto(`${base}/address?address=${address}`);
  assert.equal(await page.locator('main form').count(), 0);
  await page.click('button:has-text("Log out")');
  await logIn(page, 'admin');
  await page.goto(base + '/');
  await page.fill('.tripped input[name=reason]', 'the provider says that it is over');
  await page.click('button:has-text("End this guard")');
  assert.match(await page.textContent('main'), /None is tripped/);
  console.log('use: ok');
  await context.close();
}

// The pictures of docs/screenshots: before the scripts of strangers are among the data.
async function pictures(browser) {
  const folder = path.join(shots, 'docs');
  fs.mkdirSync(folder, { recursive: true });
  const { entries } = await (await api('GET', '/v1/suppressions?limit=200&scope=*&class=invalid-recipient')).json();
  const { address } = entries.find((one) => one.state === 'suppressed' && one.scope === '*');
  for (const [name, to, width, height, colorScheme, deviceScaleFactor = 1] of [
    ['overview', '/', 1250, 1330, 'light', 0.8],
    ['address', `/address?address=${encodeURIComponent(address)}`, 1100, 860, 'dark'],
    ['provider', '/provider?name=gmx', 1100, 900, 'light'],
    ['phone', '/unknown', 390, 800, 'dark'],
  ]) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme, deviceScaleFactor });
    const page = await context.newPage();
    await logIn(page, 'admin');
    await page.goto(base + to);
    await page.screenshot({ path: path.join(folder, `${name}.png`) });
    await context.close();
  }
}

// Every page with everything that strangers wrote: nothing runs, axe-core has no serious finding, and nothing is wider
// than the screen.
async function look(browser) {
  const paths = {
    overview: '/', suppressions: '/suppressions', providers: '/providers', provider: '/provider?name=gmx', other: '/provider?name=other',
    campaigns: '/campaigns', campaign: '/campaign?name=sale-11', scopes: '/scopes', scope: '/scope?scope=winback', unknown: '/unknown',
    rule: `/rule?wording=${encodeURIComponent('550 zorgblat the <address>')}`, health: '/health', search: '/search?q=evil.test',
    nothing: '/search?q=nothing-like-this', error: '/health?from=never', missing: '/nowhere', event: '/event?seq=1000',
    victim: '/address?address=victim0%40evil.test',
  };
  for (const [n, script] of SCRIPTS.entries()) {
    paths[`evil-campaign-${n}`] = `/campaign?name=${encodeURIComponent(script)}`;
    paths[`evil-search-${n}`] = `/search?q=${encodeURIComponent(script)}`;
    paths[`evil-address-${n}`] = `/address?address=${encodeURIComponent(`"${script.replace(/["\\]/g, '\\$&')}"@evil.test`)}`;
  }
  const last = Number((await (await api('GET', '/metrics')).text()).match(/^bounced_journal_last_sequence (\d+)/m)[1]);
  for (let n = 0; n < 4 * SCRIPTS.length; n++) paths[`evil-event-${n}`] = `/event?whole=true&seq=${last - n}`;
  const findings = [];
  let [seen, shown] = [0, 0];
  for (const colorScheme of ['light', 'dark']) {
    // Dark differs in its colours only, and those are the same at every width.
    for (const width of colorScheme === 'light' ? [360, 800, 1400] : [360, 1400]) {
      // Scripts that we put in (axe-core) must run, so the policy is off: escaping alone must hold.
      const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, bypassCSP: true });
      const page = await context.newPage();
      page.on('dialog', async (dialog) => { findings.push(`a script ran at ${page.url()}`); await dialog.dismiss(); });
      page.on('pageerror', (error) => findings.push(`${page.url()}: ${error}`));
      await page.goto(base + '/login');
      await check(page, `login ${width} ${colorScheme}`);
      await page.fill('input[name=token]', token('admin'));
      await page.click('button');
      for (const [name, to] of Object.entries(paths)) {
        const evil = name.startsWith('evil-');
        // What differs only by its words is looked at once at each end.
        if (evil && (width === 800 || (colorScheme === 'dark' && width === 1400))) continue;
        await page.goto(base + to);
        await check(page, `${name} ${width} ${colorScheme}`, !evil || width === 360);
        if (shots && !evil) await page.screenshot({ path: path.join(shots, `${name}-${width}-${colorScheme}.png`), fullPage: true });
      }
      await context.close();
    }
  }
  async function check(page, name, whole = true) {
    seen += 1;
    assert.equal(await page.evaluate(() => window.ran), undefined, `a script ran: ${name}`);
    shown += (await page.textContent('main')).includes('window.ran=1') ? 1 : 0;
    const beyond = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    if (beyond > 0) findings.push(`${name}: ${beyond} pixels wider than the screen`);
    if (!whole) return;
    await page.evaluate(axe);
    const found = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
    for (const { impact, id, nodes } of found.violations) {
      findings.push(`${name}: ${impact} ${id} ${nodes.length} times: ${nodes[0].html.slice(0, 160)}`);
    }
  }
  console.log(`look: ${seen} pages, ${shown} of them with scripts as text, ${findings.length} findings`);
  assert.ok(shown > 100, 'the scripts are there to be seen');
  assert.deepEqual(findings, []);
}

(async () => {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  try {
    if (shots) await pictures(browser);
    await poison();
    await look(browser);
    await use(browser);
  } finally {
    await browser.close();
  }
})().catch((error) => { console.error(error); process.exit(1); });
