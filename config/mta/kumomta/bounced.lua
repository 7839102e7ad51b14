-- bounced.lua: KumoMTA asks bounced about every recipient of SMTP injection.
--
--   install -m 644 bounced.lua /opt/kumomta/etc/policy/     (or another folder of package.path)
--
-- and in init.lua:
--
--   require 'bounced'.setup {}
--
-- A suppressed recipient is refused (550), a held one put off (450), all others go on. When bounced is down mail is put off
-- (451, fails closed); `setup { down = 'open' }` lets it go on instead. `setup { url = ..., token = ... }` for a bounced
-- on another machine. Answers are kept for a minute; trouble is not kept. For mail injected over HTTP call
-- `bounced.verdict(address)` in your http_message_generated handler.
-- Tested with Lua 5.4 and a stand-in for KumoMTA's API (.ci/hookup/kumo.lua), not inside KumoMTA: there is no package in
-- Debian. Compare with the manual of your version: kumo.http, kumo.memoize, kumo.serde, smtp_server_rcpt_to.
local kumo = require 'kumo'
local mod = {}

local settings = { url = 'http://127.0.0.1:8525', down = 'closed', timeout = '2 seconds', ttl = '1 minute', capacity = 100000 }
local client, cached

local function escape(text)
  return (text:gsub('[^%w%-._~@]', function(c) return string.format('%%%02X', c:byte()) end))
end

-- What the service says: 'clear', or the text of a refusal. Raises when it cannot be known, so that it is not cached.
local function ask(address)
  local request = client:get(settings.url .. '/v1/suppressions/' .. escape(address))
  if settings.token then request:header('Authorization', 'Bearer ' .. settings.token) end
  local response = request:send()
  local status = response:status_code()
  -- Any other 404 is that of a proxy or of another program.
  if status == 404 and response:text():find('"not-suppressed"', 1, true) then return 'clear' end
  if status ~= 200 then error('bounced answers ' .. status) end
  local entry = kumo.serde.json_parse(response:text())
  local day = entry.since:sub(1, 10)
  if entry.state == 'held' then
    return string.format('450 4.2.1 recipient held since %s: %s [bounced:held]', day, entry.reason)
  end
  return string.format('550 5.1.1 recipient suppressed since %s: %s [bounced:suppressed]', day, entry.reason)
end

-- A code and a text when mail to the address must stop or wait, else nil.
function mod.verdict(address)
  local known, said = pcall(cached, address)
  if not known then
    if settings.down == 'open' then return nil end
    return 451, '4.3.0 the suppression list does not answer'
  end
  if said == 'clear' then return nil end
  return tonumber(said:sub(1, 3)), said:sub(5)
end

function mod.setup(given)
  for key, value in pairs(given or {}) do settings[key] = value end
  assert(settings.down == 'open' or settings.down == 'closed', "bounced: down is 'open' or 'closed'")
  client = kumo.http.build_client { timeout = settings.timeout }
  cached = kumo.memoize(ask, { name = 'bounced', ttl = settings.ttl, capacity = settings.capacity })
  kumo.on('smtp_server_rcpt_to', function(recipient)
    local code, text = mod.verdict(tostring(recipient))
    if code then kumo.reject(code, text) end
  end)
end

return mod
