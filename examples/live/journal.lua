-- Writes names into a file that it has to itself: two generations at once would write
-- into it in turns.
local Journal <const> = {
  exclusive = true,
  options = { file = { type = "string", required = true, doc = "where names are kept" } },
}

function Journal:note(name) assert(self.file:write(name, "\n")) end

function Journal:start(ctx)
  self.file = assert(io.open(self.config.file, "a"))
  self.file:setvbuf "line"
  ctx:on_close(function() self.file:close() end)
  ctx:publish("journal", self, { doc = "notes names" })
end

return Journal
