// The log-in in Debian's Firefox, by WebDriver BiDi; see .ci/browser. firefox.js BASE FIREFOX [SHOTS]
const assert = require('node:assert/strict');
const path = require('node:path');
const puppeteer = require('puppeteer-core');

const [base, executablePath, shots] = process.argv.slice(2);

async function main() {
  const browser = await puppeteer.launch({ browser: 'firefox', executablePath, headless: true });
  try {
    console.log(`${await browser.version()}: ${await use(await browser.newPage())}`);
  } finally {
    await browser.close();
  }
}

async function submit(page, form) {
  await Promise.all([page.waitForNavigation(), page.click(`${form} button`)]);
}

async function use(page) {
  await page.setViewport({ width: 1200, height: 900 });
  await page.goto(`${base}/suppressions`);
  assert.match(page.url(), /\/login\?next=/, 'a stranger is led to the log-in');
  for (const [token, to] of [['wrong', '/login'], ['write-token', '/suppressions']]) {
    await page.type('input[name=token]', token);
    await submit(page, 'main form');
    assert.equal(new URL(page.url()).pathname, to, token);
  }
  const address = await page.$eval('main a[href^="/address"]', (link) => link.innerText.trim());
  await page.type('input[name=q]', address.slice(0, -3));
  await submit(page, 'form[role=search]');
  await Promise.all([page.waitForNavigation(), page.click('main a[href^="/address"]')]);
  assert.ok((await page.$eval('h1', (title) => title.innerText)).startsWith(address), 'the address that was searched');
  assert.match(await page.$eval('main', (main) => main.innerText), /Mail to this address is/);
  if (shots) await page.screenshot({ path: path.join(shots, 'firefox.png') });
  await Promise.all([page.waitForNavigation(), page.click('form[action="/logout"] button')]);
  await page.goto(`${base}/`);
  assert.match(page.url(), /\/login/, 'logged out');
  return 'logged in, searched, read an address, logged out';
}

main().catch((error) => { console.error(error); process.exit(1); });
