-- Is there DNS? Without it every message would wait for its time limits. One question over TCP to the box's own resolver, every few
-- seconds; it hands this name on each time (see unbound.conf), and whatever it is told, there is DNS. Without DNS the rules that ask
-- it are left out. `postern status` reads the file that says so.

local rspamd_logger = require "rspamd_logger"
local rspamd_tcp = require "rspamd_tcp"

local STATE = "/run/rspamd/dns"
local EVERY, PATIENCE = 5.0, 2.0 -- seconds
local SERVFAIL = 2
-- root-servers.net A, in a message of 34 bytes: number, `recursion desired`, one question.
local NAME = "\12root-servers\3net\0"
local QUESTION = "\0\34" .. "\19\82\1\0\0\1\0\0\0\0\0\0" .. NAME .. "\0\1\0\1"

local ASKING = { "SPF_CHECK", "DKIM_CHECK", "DMARC_CHECK", "ARC_CHECK", "HFILTER_CHECK", "RDNS_CHECK" }
for name, list in pairs((rspamd_config:get_all_opt("rbl") or {}).rbls or {}) do
  local symbol = list.symbol or name:upper()
  if list.enabled ~= false then
    table.insert(ASKING, list.symbols_prefixes and symbol .. "_CHECK" or symbol)
  end
end

local answers, noted = true, nil
for _, symbol in ipairs(ASKING) do
  rspamd_config:add_condition(symbol, function() return answers end)
end

local function note(now)
  if now ~= answers then
    rspamd_logger.messagex(rspamd_config, "DNS %s", now and "answers again" or "does not answer: rules that ask it are off")
  end
  answers = now
  if now == noted then
    return
  end
  noted = now
  local file = io.open(STATE, "w")
  if file then
    file:write(now and "answers\n" or "silent\n")
    file:close()
  end
end

rspamd_config:add_on_load(function(cfg, ev_base, worker)
  if worker:get_name() ~= "rspamd_proxy" and worker:get_name() ~= "normal" then
    return
  end
  rspamd_config:add_periodic(ev_base, 0.1, function()
    rspamd_tcp.request({
      ev_base = ev_base,
      config = cfg,
      host = "127.0.0.1",
      port = 53,
      timeout = PATIENCE,
      data = QUESTION,
      callback = function(problem, answer)
        local text = not problem and tostring(answer) or ""
        note(#text > 5 and text:byte(6) % 16 ~= SERVFAIL)
      end,
    })
    return EVERY
  end)
end)
