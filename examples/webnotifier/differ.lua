-- Listens to the detector, and tells what has changed: as text, and as HTML.
local signal <const> = require "ahost.signal"
local diff <const> = require "diff"

local Differ <const> = {
  options = {
    max_lines = { type = "integer", min = 1, default = 100, doc = "of a difference" },
  },
}

local ENTITIES <const> = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" }
local TAGS <const> = { ["-"] = "del", ["+"] = "ins" }

local function as_html(change)
  local tag <const> = TAGS[change.sign]
  return ("<%s>%s</%s>"):format(tag, change.line:gsub("[&<>]", ENTITIES), tag)
end

function Differ:describe(changes)
  local text <const>, html <const> = {}, {}
  for i = 1, math.min(#changes, self.config.max_lines) do
    text[i] = changes[i].sign .. " " .. changes[i].line
    html[i] = as_html(changes[i])
  end
  local rest <const> = #changes - #text
  if rest > 0 then
    text[#text + 1] = ("(%d more lines)"):format(rest)
    html[#html + 1] = ("(%d more lines)"):format(rest)
  end
  return table.concat(text, "\n"), "<pre>\n" .. table.concat(html, "\n") .. "\n</pre>"
end

function Differ:start(ctx)
  local detector <const> = ctx:request "webnotifier.detector"
  local differences <const> = signal.new("differences")
  detector.changed:connect(function(event)
    local changes <const> = diff.lines(event.old, event.new)
    if #changes == 0 then return end
    local text <const>, html <const> = self:describe(changes)
    differences:emit { url = event.url, text = text, html = html }
  end)
  ctx:publish("webnotifier.differ", { differences = differences, url = detector.url })
end

return Differ
