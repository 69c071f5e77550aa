-- What some mail programs make of a part that breaks the rules, where Rspamd and ClamAV make something else of it or nothing: more
-- bytes for the virus scanner. Each way here is one that a program of Debian goes; tests/container/malformed.py has the messages.

local rspamd_util = require "rspamd_util"

local LONG = 40 -- characters: in a text, base64 is looked for from a line of this length on

-- Runs of lines that are base64 and nothing else, the first of `least` characters or more.
local function base64_in(text, least, found)
  local run = {}
  for line in (text .. "\n"):gmatch("([^\r\n]*)\r?\n") do
    if line:find("^[%w+/]+=*[ \t]*$") and (#run > 0 or #line >= least) then
      table.insert(run, line)
    elseif #run > 0 then
      table.insert(found, rspamd_util.decode_base64(table.concat(run)))
      run = {}
    end
  end
  if #run > 0 then
    table.insert(found, rspamd_util.decode_base64(table.concat(run)))
  end
end

-- A line of a uuencoded file: its length, and four characters for three bytes. Blanks at its end may have got lost.
local function uudecoded(line)
  local length = (line:byte() - 32) % 64
  local bytes, number = {}, 0
  for at = 2, 1 + math.ceil(length / 3) * 4 do
    number = number * 64 + ((line:byte(at) or 32) - 32) % 64
    if at % 4 == 1 then
      table.insert(bytes, string.char(math.floor(number / 65536), math.floor(number / 256) % 256, number % 256))
      number = 0
    end
  end
  return table.concat(bytes):sub(1, length)
end

-- Uuencoded files; the last may lack its end.
local function uuencoded_in(text, found)
  local file = nil
  for line in (text .. "\nend\n"):gmatch("([^\r\n]+)\r?\n") do
    local begins = line:find("^begin %d%d%d+ ")
    if file and (begins or line == "end") then
      table.insert(found, table.concat(file))
      file = nil
    end
    if begins then
      file = {}
    elseif file then
      table.insert(file, uudecoded(line))
    end
  end
end

-- Files in yEnc: each byte is 42 too high, and after an equals sign 64 more.
local function yenc_in(text, found)
  for block in text:gmatch("=ybegin [^\n]*\n(.-)\n=yend ") do
    local coded = block:gsub("^=ypart [^\n]*\n", ""):gsub("[\r\n]", "")
    coded = coded:gsub("=(.)", function(letter) return string.char((letter:byte() - 64) % 256) end)
    table.insert(found, (coded:gsub(".", function(letter) return string.char((letter:byte() - 42) % 256) end)))
  end
end

-- Where a header has a line that is none, some take the rest for the content.
local function content_in(header)
  local place = 1
  for line, after in header:gmatch("([^\n]*)\n()") do
    if not line:find("^[!-9;-~]+[ \t]*:") and not line:find("^[ \t\r]") and line ~= "" then
      return header:sub(place)
    end
    place = after
  end
  return ""
end

local function as_text(content)
  return content and tostring(content) or ""
end

-- A leaf of a message: what else it could be, as a list of strings.
return function(part)
  local found = {}
  local encoding = part:get_cte()
  local raw = as_text(part:get_raw_content())
  base64_in(content_in(as_text(part:get_raw_headers())), 1, found)
  if encoding == "base64" then
    if raw:find("[^%w+/=%s]") then
      base64_in(raw, 1, found)
    end
    return found
  end
  -- Spaces at a line's end are none of its own (RFC 2045, 6.7), also after the sign that joins it to the next.
  if raw:find("=[ \t]+\r?\n") then
    table.insert(found, rspamd_util.decode_qp((raw:gsub("[ \t]+(\r?\n)", "%1"))))
  end
  base64_in(raw, LONG, found)
  uuencoded_in(raw, found)
  yenc_in(raw, found)
  return found
end
