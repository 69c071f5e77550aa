-- What Postern decides about a message, inside Rspamd.
--
-- Rspamd has one verdict for a message; the settings differ by recipient. So a message is looked at as thoroughly as any of its
-- recipients wants, and refused as spam only beyond what every one of them takes. What lies between goes on with its score and its
-- verdict in two headers, and is decided for each recipient after the queue.

local lua_maps = require "lua_maps"
local lua_redis = require "lua_redis"
local rspamd_logger = require "rspamd_logger"
local ucl = require "ucl"

local NEVER = 1000000 -- a score that nothing reaches
local SCORE, VERDICT = "X-Postern-Score", "X-Postern-Verdict"
-- Ours run whatever else is switched off, also after a result that ends the filtering.
local ALWAYS = "empty,nostat,explicit_disable,ignore_passthrough"

local function read_policy()
  local path = rspamd_config:get_all_opt("postern").policy
  local parser = ucl.parser()
  local ok, problem = parser:parse_file(path)
  if not ok then
    error(string.format("%s: %s", path, problem)) -- no filtering without decisions: the configuration does not load
  end
  return parser:get_object()
end

local function set_of(list)
  local set = {}
  for _, item in ipairs(list) do
    set[item] = true
  end
  return set
end

-- A list of senders: addresses, domains and client networks.
local function senders(list)
  local networks = #list.networks > 0 and list.networks
  return {
    addresses = set_of(list.addresses),
    domains = set_of(list.domains),
    networks = networks and lua_maps.map_add_from_ucl(networks, "radix", "senders by network"),
  }
end

local function row_of(made)
  return { wants = made, welcome = senders(made.welcome), block = senders(made.block) }
end

local policy = read_policy()
local system = row_of(policy)
local outgoing = row_of(policy.outgoing)
local by_domain = {}
for name, made in pairs(policy.domains) do
  by_domain[name] = row_of(made)
end

-- Who sent a message: the envelope's sender, those of the header, and the client.
local function sender_of(task)
  local addresses, domains = {}, {}
  for _, kind in ipairs({ "smtp", "mime" }) do
    for _, from in ipairs(task:get_from(kind) or {}) do
      if from.addr and from.addr ~= "" then
        table.insert(addresses, from.addr:lower())
        table.insert(domains, (from.domain or ""):lower())
      end
    end
  end
  return { addresses = addresses, domains = domains, ip = task:get_from_ip() }
end

local function listed(list, sender)
  for index, address in ipairs(sender.addresses) do
    if list.addresses[address] or list.domains[sender.domains[index]] then
      return true
    end
  end
  return list.networks and sender.ip and sender.ip:is_valid() and list.networks:get_key(sender.ip)
end

-- What becomes of this sender's mail to one recipient: the system's lists go before the domain's, welcome before block.
local function treatment(row, sender)
  for _, lists in ipairs({ system, row }) do
    if listed(lists.welcome, sender) then
      return "welcome"
    elseif listed(lists.block, sender) then
      return "block"
    end
  end
  return "score"
end

-- Whom a recipient blocks himself: lines of his mailbox's name and an address, and of the address for anybody's (records.py). Only that
-- such mail goes to the quarantine's agent follows here, which asks again by what it knows itself.
local personal = lua_maps.map_add_from_ucl("/var/lib/postern-blocked/blocked", "set", "senders that recipients block")

local function blocked_by(rcpt, sender)
  -- Where users have aliases, Postfix finds out later whose mailbox it is.
  local owner = policy.aliases and "" or (rcpt.addr or ""):lower()
  for _, address in ipairs(sender.addresses) do
    if personal:get_key(owner .. "|" .. address) then
      return true
    end
  end
  return false
end

-- What the access rules said of the message's recipients, in one: the strictest. Theirs are always there, so that a header of
-- a stranger can only make it stricter.
local LENIENCE = { take = 0, relay = 1, discard = 2, bypass = 2 }
local function lenience(task)
  local least = nil
  for _, header in ipairs(task:get_header_full("X-Postern-Access") or {}) do
    local this = LENIENCE[(header.decoded or ""):lower()] or 0
    least = math.min(least or this, this)
  end
  return least or 0
end

-- What is asked about a stranger's mail server. Whom a rule lets relay is none: a client at home, or a user on his way.
local OF_SERVERS = { "HFILTER_CHECK", "RDNS_CHECK", "SPF_CHECK", "DKIM_CHECK", "DMARC_CHECK", "ARC_CHECK" }

-- The message level of directionality, as `of_message` in overlays/direction.py: a recipient's domain is protected, or the message
-- goes out. The second word is what is wanted of such messages.
local function direction_of_message(domain)
  local row = by_domain[(domain or ""):lower()]
  if row then
    return "incoming", row
  end
  return "outgoing", outgoing
end

-- The recipients' wishes in one. `tag` is the lowest score that is spam to anybody, `reject` the one that is too much for all.
local function whole(task)
  local sender = sender_of(task)
  local all = { tag = NEVER, greylist = NEVER, reject = 0, antivirus = false, blocked = 0, outgoing = false, count = 0, encrypted = policy.encrypted }
  for _, rcpt in ipairs(task:get_recipients("smtp") or {}) do
    local direction, row = direction_of_message(rcpt.domain)
    local how = treatment(row, sender)
    all.count = all.count + 1
    all.outgoing = all.outgoing or direction == "outgoing"
    all.antivirus = all.antivirus or row.wants.antivirus
    if how == "block" then
      all.blocked = all.blocked + 1
    elseif how == "welcome" then
      all.reject = NEVER
    else
      all.personal = all.personal or blocked_by(rcpt, sender)
      all.tag = math.min(all.tag, tonumber(row.wants.tag) or NEVER)
      all.greylist = math.min(all.greylist, tonumber(row.wants.greylist) or NEVER)
      all.reject = math.max(all.reject, tonumber(row.wants.reject) or NEVER)
    end
  end
  local rule = lenience(task)
  if rule >= LENIENCE.relay then
    all.greylist, all.relayed = NEVER, true
  end
  if rule >= LENIENCE.bypass then -- of antispam; viruses are looked for all the same
    all.tag, all.reject, all.blocked, all.personal = NEVER, NEVER, 0, false
  end
  return all
end

local function decided(task)
  return task:cache_get("postern") or whole(task)
end

local function decide(task)
  local all = whole(task)
  task:cache_set("postern", all)
  if all.count > 0 and all.blocked == all.count then
    task:set_pre_result("reject", "the sender is on a block list", "postern")
    return
  end
  local settings = { actions = { reject = all.reject, greylist = all.greylist } }
  if all.tag == NEVER then
    settings.symbols_enabled = { "POSTERN_SCAN", "DKIM_SIGNED" }
  elseif all.relayed then
    settings.symbols_disabled = OF_SERVERS
  end
  task:set_settings(settings)
  task:cache_set("settings", settings)
end

local function verdict_of(task)
  local all = decided(task)
  if all.encrypted == "quarantine" and task:cache_get("postern_encrypted") then
    return "virus"
  elseif all.blocked > 0 or all.personal or task:get_metric_score()[1] >= all.tag then
    return "spam"
  end
  return "clean"
end

local function add_headers(task)
  task:set_milter_reply({
    add_headers = {
      [SCORE] = { value = string.format("%.2f", task:get_metric_score()[1]), order = 1 },
      [VERDICT] = { value = verdict_of(task), order = 1 },
    },
  })
end

-- The one line about each message that the journal gets, as JSON. Rspamd's own has what rules found, such as links of the message.
local MOST_SYMBOLS, MOST_NAMED = 100, 50 -- a line has room for 8 KiB
local function tell(task)
  local symbols = {}
  for index, symbol in ipairs(task:get_symbols_all()) do
    if index <= MOST_SYMBOLS then
      symbols[symbol.name] = tonumber(string.format("%.2f", symbol.score or 0))
    end
  end
  local _, _, told = task:has_pre_result()
  local recipients = {}
  for index, rcpt in ipairs(task:get_recipients("smtp") or {}) do
    if index <= MOST_NAMED then
      table.insert(recipients, rcpt.addr)
    end
  end
  local from = task:get_from("smtp") or {}
  local ip = task:get_from_ip()
  local facts = {
    id = task:get_queue_id(),
    message_id = task:get_message_id(),
    client = ip and ip:is_valid() and ip:to_string() or "",
    from = from[1] and from[1].addr or "",
    to = recipients,
    action = task:get_metric_action(),
    verdict = verdict_of(task),
    score = string.format("%.2f", task:get_metric_score()[1]),
    told = told or "",
    symbols = symbols,
  }
  rspamd_logger.messagex(task, "verdict %s", ucl.to_format(facts, "json-compact"))
end

-- What a stranger's message adds to his past, where the access rules' service looks it up (overlays/access/ledger.py): an hour's hash
-- of Valkey. Good ones it counts itself.
local past = policy.reputation and lua_redis.parse_redis_server("postern")
local KEPT = "46800"
local function remember(task)
  local all, ip = decided(task), task:get_from_ip()
  if not past or all.relayed or task:get_user() or not (ip and ip:is_valid()) then
    return
  end
  local name = ip:get_version() == 4 and tostring(ip) or tostring(ip:apply_mask(64)) .. "/64"
  if name:find("^127%.") then -- the self-test
    return
  end
  local scan = task:cache_get("postern_antivirus")
  local what
  if scan and scan.virus then
    what = "virus"
  elseif task:get_metric_score()[1] >= all.tag and task:get_metric_action() ~= "soft reject" then -- it comes again
    what = "spam"
  else
    return
  end
  local key = string.format("reputation|%s|%d", name, math.floor(os.time() / 3600))
  local function done(problem)
    if problem then
      rspamd_logger.errx(task, "not remembered: %s", problem)
    end
  end
  lua_redis.redis_make_request(task, past, key, true, done, "HINCRBY", { key, what, "1" })
  lua_redis.redis_make_request(task, past, key, true, done, "EXPIRE", { key, KEPT })
end

-- Only what goes to the world is signed: that comes from whom a rule lets relay, or a user. Anybody can write a domain's name.
rspamd_config:add_condition("DKIM_SIGNED", function(task)
  return decided(task).outgoing
end)
rspamd_config:register_symbol({
  name = "POSTERN_DECIDE", type = "prefilter", priority = 10, flags = ALWAYS, callback = decide,
})
rspamd_config:register_symbol({ name = "POSTERN_HEADERS", type = "idempotent", flags = ALWAYS, callback = add_headers })
rspamd_config:register_symbol({ name = "POSTERN_TELL", type = "idempotent", flags = ALWAYS, callback = tell })
rspamd_config:register_symbol({ name = "POSTERN_REPUTATION", type = "idempotent", flags = ALWAYS, callback = remember })
