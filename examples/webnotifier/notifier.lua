-- Writes a message, as one would send it by mail, about each difference.
local Notifier <const> = {
  options = {
    file = { type = "string", doc = "to append to; else the standard output" },
    html = { type = "boolean", default = false, doc = "write HTML, not text" },
  },
}

-- Appends to the file, which is opened each time: somebody may have moved it away.
function Notifier:write(subject, body)
  local message <const> = ("Subject: %s\n\n%s\n\n"):format(subject, body)
  if not self.config.file then
    io.write(message)
    return io.stdout:flush()
  end
  local file, err = io.open(self.config.file, "a")
  if not file then return self.log:error("the message is lost: %s", err) end
  file:write(message)
  file:close()
end

function Notifier:start(ctx)
  local differ <const> = ctx:request "webnotifier.differ"
  differ.differences:connect(function(event)
    self:write("Change of " .. event.url, self.config.html and event.html or event.text)
  end)
  self:write("Watching " .. differ.url, "You will hear when it changes.")
end

return Notifier
