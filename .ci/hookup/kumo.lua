-- kumo.lua ADDRESS [open]: bounced.lua with a stand-in for what it uses of KumoMTA's API; HTTP is real, by curl.
-- Prints the reply to RCPT. KumoMTA has no package in Debian.
local handlers, asked = {}, 0
package.loaded.kumo = {
  on = function(event, handler) handlers[event] = handler end,
  memoize = function(f, options)
    assert(options.name and options.ttl and options.capacity, 'memoize wants name, ttl and capacity')
    local kept = {}
    return function(key)
      if kept[key] == nil then kept[key] = f(key) end
      return kept[key]
    end
  end,
  reject = function(code, text) error({ reply = code .. ' ' .. text }) end,
  serde = { json_parse = function(text)
    return setmetatable({}, { __index = function(_, key) return text:match('"' .. key .. '":"([^"]*)"') end })
  end },
  http = { build_client = function(options)
    assert(options.timeout == '2 seconds')
    return { get = function(_, url)
      return { send = function()
        asked = asked + 1
        local pipe = io.popen("curl -s -m 2 -w '\n%{http_code}' '" .. url .. "'")
        local body, status = pipe:read('a'):match('^(.*)\n(%d+)$')
        pipe:close()
        if status == '000' then error('connection refused') end
        return { status_code = function() return tonumber(status) end, text = function() return body end }
      end }
    end }
  end },
}
package.path = '/hookup/mta/kumomta/?.lua'
require 'bounced'.setup(arg[2] and { down = arg[2] } or {})
local ask = handlers.smtp_server_rcpt_to
for _ = 1, 2 do
  local taken, why = pcall(ask, setmetatable({}, { __tostring = function() return arg[1] end }))
  if not taken and type(why) ~= 'table' then error(why) end
  reply = taken and '250 ok' or why.reply
end
-- Asked twice: an answer is kept, trouble is not.
local trouble = reply:sub(1, 3) == '451' or (arg[2] == 'open' and asked == 2)
assert(asked == (trouble and 2 or 1), 'asked ' .. asked .. ' times')
print(reply)
