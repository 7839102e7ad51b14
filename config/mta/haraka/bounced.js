'use strict'
// bounced.js: Haraka asks bounced about every recipient at RCPT, and hands bounces to it. In Haraka's folder:
//
//   cp bounced.js plugins/
//   cp bounced.ini config/
//   sed -i '1i bounced' config/plugins      # first, so that it is asked before a plugin accepts a recipient
//
// and restart Haraka. A suppressed recipient is refused (550), a held one put off (450), all others are left to your other
// plugins. When bounced is down, mail is put off (450, fails closed), or goes on with `down=open` in bounced.ini.
// Asks the lookup port over one kept connection. Uses nothing but `net`: the sandbox of plugins has no fetch.

const net = require('net')

const queue = [] // the questions on the wire, answered in order
let socket = null

exports.register = function () {
  this.cfg = this.config.get('bounced.ini')
  const { host = '127.0.0.1', port = 8526, timeout = 2000, down = 'closed' } = this.cfg.main
  if (!['open', 'closed'].includes(down)) throw new Error(`bounced.ini: down=${down}: write open or closed`)
  this.settings = { host, port: Number(port), timeout: Number(timeout), open: down === 'open' }
  this.register_hook('rcpt', 'ask')
  this.register_hook('get_mx', 'receive')
}

exports.ask = async function (next, connection, params) {
  const rcpt = params[0]
  if (!rcpt.host) return next()
  let answer
  try {
    answer = await question(`${rcpt.user}@${rcpt.host}`, this.settings)
  } catch (error) {
    connection.logerror(this, `bounced does not answer: ${error.message}`)
    if (this.settings.open) return next()
    return next(DENYSOFT, '4.3.0 the suppression list does not answer')
  }
  // "450 4.2.1 recipient held ...", "550 5.1.1 recipient suppressed ...", or nothing
  if (!answer) return next()
  next(answer.startsWith('4') ? DENYSOFT : DENY, answer.slice(4))
}

// Bounces that Haraka writes itself go to bounced without a detour over the MX record.
exports.receive = function (next, hmail, domain) {
  const { domain: ours, smtp_host = '127.0.0.1', smtp_port = 2525 } = this.cfg.receive || {}
  if (!ours || domain.toLowerCase() !== ours.toLowerCase()) return next()
  next(OK, { priority: 0, exchange: smtp_host, port: Number(smtp_port) })
}

// Asks for one address; '' when nothing speaks against it.
function question(address, settings) {
  return new Promise((resolve, reject) => {
    if (!socket) connect(settings)
    const waiting = { resolve, reject, timer: setTimeout(() => drop(new Error('timeout')), settings.timeout) }
    queue.push(waiting)
    socket.write(`get ${address.replace(/[%\s]/g, encodeURIComponent)}\n`)
  })
}

function connect({ host, port }) {
  const mine = (socket = net.connect(port, host))
  let text = ''
  mine.setNoDelay(true)
  mine.on('data', (data) => {
    text += data
    let end
    while ((end = text.indexOf('\n')) >= 0) {
      const line = text.slice(0, end)
      text = text.slice(end + 1)
      const waiting = queue.shift()
      if (!waiting) return drop(new Error('an answer without a question'))
      clearTimeout(waiting.timer)
      if (line.startsWith('200 ')) waiting.resolve(line.slice(4).replace(/%([0-9A-F]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16))))
      else if (line.startsWith('500')) waiting.resolve('')
      else waiting.reject(new Error(line))
    }
  })
  mine.on('error', (error) => mine === socket && drop(error))
  mine.on('close', () => mine === socket && drop(new Error('the connection was closed')))
}

// The connection is gone: nobody waits for it any longer, and the next question makes a new one.
function drop(error) {
  socket?.destroy()
  socket = null
  for (const waiting of queue.splice(0)) {
    clearTimeout(waiting.timer)
    waiting.reject(error)
  }
}
