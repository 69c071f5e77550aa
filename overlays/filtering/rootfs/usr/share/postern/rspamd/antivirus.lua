-- Viruses: ClamAV gets the whole message, to take apart by itself, each part as Rspamd decodes it, and what else a part could be to a
-- mail program (lenient.lua).
--
-- Rspamd's own module takes an answer that it does not know for a clean message. Here only `stream: OK` to every piece is clean.

local rspamd_logger = require "rspamd_logger"
local rspamd_tcp = require "rspamd_tcp"
local rspamd_util = require "rspamd_util"

local lenient = dofile("/usr/share/postern/rspamd/lenient.lua")

local CLAMD = "/run/clamav/clamd.ctl"
local PATIENCE, TRIES = 25.0, 2 -- seconds for a piece, and how often it is sent
local MOST_PIECES = 200
local ALWAYS = "empty,nostat,explicit_disable,ignore_passthrough"

local function pieces_of(task)
  local pieces = { task:get_content() }
  for _, part in ipairs(task:get_parts() or {}) do
    local content = not part:is_multipart() and part:get_content()
    if content and #content > 0 then
      table.insert(pieces, content)
    end
    for _, other in ipairs(part:is_multipart() and {} or lenient(part)) do
      table.insert(pieces, other)
    end
  end
  return pieces
end

-- A message in pieces: what they are together is seen by its reader alone (message/partial, RFC 2046, 5.2.2).
local function is_piece(task)
  for _, part in ipairs(task:get_parts() or {}) do
    local main, sub = part:get_type()
    if main == "message" and sub == "partial" then
      return true
    end
  end
  return false
end

-- What an answer of clamd means: clean, virus, encrypted, limits, or nothing that we know.
local function meaning(answer)
  if answer == "stream: OK" then
    return "clean"
  end
  local name = answer:match("^stream: (.+) FOUND$")
  if not name then
    return nil, answer
  elseif name:find("^Heuristics%.Encrypted") then
    return "encrypted", name
  elseif name:find("^Heuristics%.Limits%.Exceeded") then
    return "limits", name
  end
  return "virus", name
end

-- One piece after the other, so that a message of many parts takes one of clamd's threads and no more.
local function scan(task)
  local pieces = pieces_of(task)
  local result = { left = #pieces }
  task:cache_set("postern_antivirus", result)
  result.piece = is_piece(task)
  if #pieces > MOST_PIECES then
    result.limits = string.format("%d parts", #pieces)
  end
  if result.piece or result.limits then
    return
  end

  local function send(index, tries)
    local content = pieces[index]

    local function answered(problem, answer)
      local what, name
      if not problem then
        what, name = meaning((tostring(answer):gsub("%z$", "")))
      end
      if not what and tries > 1 then
        return send(index, tries - 1)
      elseif not what then
        rspamd_logger.errx(task, "the virus scanner says: %s", problem or name)
        return
      end
      result.left = result.left - 1
      if what ~= "clean" then
        result[what] = name
        task:insert_result("POSTERN_" .. what:upper(), 1.0, name)
      end
      if what ~= "virus" and pieces[index + 1] then
        send(index + 1, TRIES)
      end
    end

    rspamd_tcp.request({
      task = task,
      host = CLAMD,
      port = 0,
      timeout = PATIENCE,
      data = { rspamd_util.pack("c9 c1 >I4", "zINSTREAM", "\0", #content), content, rspamd_util.pack(">I4", 0) },
      stop_pattern = "\0",
      callback = answered,
    })
  end

  send(1, TRIES)
end

local function judge(task)
  if task:has_pre_result() then
    return
  end
  local all = task:cache_get("postern")
  if all and not all.antivirus then
    return
  end
  local result = all and task:cache_get("postern_antivirus")
  if result and result.virus then
    task:set_pre_result("reject", "virus found: " .. result.virus, "postern")
  elseif task:get_metric_action() == "reject" then
    return -- as spam; the scan may not have been needed
  elseif result and result.piece then
    task:set_pre_result("reject", "a piece of a message cannot be scanned for viruses", "postern")
  elseif result and result.limits then
    task:set_pre_result("reject", "too large or too deep to be scanned for viruses", "postern")
  elseif not result or result.left > 0 then
    task:set_pre_result("soft reject", "the virus scanner does not answer, try again later", "postern")
  elseif result.encrypted and all.encrypted == "reject" then
    task:set_pre_result("reject", "encrypted: cannot be scanned for viruses", "postern")
  elseif result.encrypted then
    task:cache_set("postern_encrypted", true)
  end
end

local id = rspamd_config:register_symbol({
  name = "POSTERN_SCAN", type = "normal", flags = "empty,nostat", score = 0, group = "antivirus", callback = scan,
})
for _, what in ipairs({ "VIRUS", "ENCRYPTED", "LIMITS" }) do
  rspamd_config:register_symbol({ name = "POSTERN_" .. what, type = "virtual", parent = id, score = 0, group = "antivirus" })
end
rspamd_config:add_condition("POSTERN_SCAN", function(task)
  local all = task:cache_get("postern")
  return not all or all.antivirus
end)
rspamd_config:register_symbol({
  name = "POSTERN_ANTIVIRUS", type = "postfilter", priority = 10, flags = ALWAYS, callback = judge,
})
