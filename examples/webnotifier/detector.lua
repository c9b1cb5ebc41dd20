-- Gets a page every so often, and tells when it has changed.
local errors <const> = require "ahost.error"
local signal <const> = require "ahost.signal"
local task <const> = require "ahost.task"
local webpage <const> = require "webpage"

local Detector <const> = {
  options = {
    url = {
      type = "url",
      required = true,
      check = webpage.check,
      doc = "of the page",
    },
    delay = { type = "duration", min = 0.1, default = "1m", doc = "between two looks" },
    timeout = { type = "duration", default = "10s", doc = "for each look" },
  },
}

-- Asks for the page if it is not what we have. -> its text | nil when it is, nil, err
function Detector:get()
  local answer, err = webpage.get(self.config.url, {
    timeout = self.config.timeout,
    headers = {
      ["If-None-Match"] = self.etag,
      ["If-Modified-Since"] = self.modified,
    },
  })
  if not answer then return nil, err end
  if answer.status == 304 then return nil end
  if answer.status ~= 200 then
    return nil, errors.new("HTTP", ("status %d %s"):format(answer.status, answer.reason))
  end
  self.etag, self.modified = answer.headers.etag, answer.headers["last-modified"]
  return answer.body
end

function Detector:look()
  local text, err = self:get()
  if err then
    self.log:warning("%s: %s", self.config.url, err)
  elseif text and self.text and text ~= self.text then
    self.changed:emit { url = self.config.url, old = self.text, new = text }
  end
  self.text = text or self.text
end

function Detector:watch()
  while true do
    task.sleep(self.config.delay)
    self:look()
  end
end

function Detector:start(ctx)
  self.changed = signal.new("changed", self)
  self:look()
  ctx:publish("webnotifier.detector", { changed = self.changed, url = self.config.url },
    { doc = "tells of changes of " .. self.config.url })
  ctx:spawn("watch", self.watch, self)
end

return Detector
